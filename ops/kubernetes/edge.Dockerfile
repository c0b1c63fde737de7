# The edge with the storefront in it, for where no folder can be mounted. From the repository's root:
#   docker build -f ops/kubernetes/edge.Dockerfile -t orderflow-edge:0.1.0 .
FROM caddy:2.10.0-alpine
# The image's binary carries a capability as a file attribute and cannot be executed without it; our port needs none.
RUN setcap -r /usr/bin/caddy
COPY edge/Caddyfile /etc/caddy/Caddyfile
COPY edge/static /srv/shop
USER 10002:10002
