"""The configuration of a proxy that lets nodes through to the SuperLink, and nobody to its other interfaces."""

_NGINX = """# Passes on what SuperNodes need. Whoever reaches Flower's other paths can register nodes and start runs.
worker_processes 1;
pid nginx.pid;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_max_body_size 0;
    client_body_temp_path nginx-body;
    proxy_temp_path nginx-proxy;
    fastcgi_temp_path nginx-fastcgi;
    uwsgi_temp_path nginx-uwsgi;
    scgi_temp_path nginx-scgi;
    server {{
        listen {port} ssl;
        ssl_certificate server.crt;
        ssl_certificate_key server.key;
        ssl_protocols TLSv1.2 TLSv1.3;
        location /v1/fleet/ {{
            proxy_pass https://127.0.0.1:{inner_port}/v1/fleet/;
            proxy_ssl_verify on;
            proxy_ssl_trusted_certificate ca.crt;
            proxy_ssl_name localhost;
            proxy_http_version 1.1;
            proxy_request_buffering off;
            proxy_buffering off;
            proxy_read_timeout 600s;
        }}
        location / {{ return 403; }}
    }}
}}
"""


def nginx_configuration(port: int, inner_port: int) -> str:
    """Return the configuration of nginx.

    Args:
        port: Where nodes reach the proxy.
        inner_port: Where the proxy reaches the SuperLink, on the same computer.
    """
    return _NGINX.format(port=port, inner_port=inner_port)
