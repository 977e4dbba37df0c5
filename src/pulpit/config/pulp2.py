"""Keys of Pulp 2's server.conf, of any of its releases, that have no use here."""

from __future__ import annotations

__all__ = ["IGNORED"]

#: Section to keys. A file that sets them loads; the log names them once.
IGNORED = {
    section: frozenset(keys.split())
    for section, keys in {
        "authentication": "rsa_key rsa_pub",
        "consumer_history": "lifetime",
        "coordinator": "task_state_poll_interval",
        "data_reaping": (
            "archived_calls consumer_history repo_sync_history repo_publish_history "
            "repo_group_publish_history task_result_history"
        ),
        "database": (
            "name seeds username password replica_set ssl ssl_keyfile ssl_certfile verify_ssl "
            "ca_path unsafe_autoretry write_concern x509_auth operation_retries"
        ),
        "lazy": (
            "redirect_host redirect_port redirect_path https_retrieval download_interval "
            "download_concurrency"
        ),
        "ldap": "enabled uri base tls default_role filter binddn bindpw",
        "logs": "config db_config",
        "messaging": (
            "url transport install_timeout update_timeout uninstall_timeout bind_timeout "
            "unbind_timeout"
        ),
        "oauth": "enabled oauth_key oauth_secret",
        "profiling": "enabled directory",
        "scheduler": "dispatch_interval",
        "security": ("ssl_ca_certificate consumer_cert_expiration serial_number_path"),
        "server": "key_url ks_url debugging_mode storage_dir",
        "tasks": (
            "broker_url celery_require_ssl cacert keyfile certfile login_method "
            "concurrency_threshold dispatch_interval archived_call_lifetime "
            "consumer_content_weight create_weight publish_weight sync_weight"
        ),
    }.items()
}
