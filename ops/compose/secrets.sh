#!/bin/sh
# Writes .env, which `docker compose` reads: a random secret for every login of the shop. Never overwrites one.
#   sh ops/compose/secrets.sh
set -eu
cd "$(dirname "$0")/../.."
if [ -e .env ]; then
    echo ".env is there already; remove it (and the volumes: docker compose down -v) to start afresh." >&2
    exit 1
fi
umask 077
secret() { od -An -v -N24 -tx1 /dev/urandom | tr -d ' \n'; }
{
    echo "# Made by ops/compose/secrets.sh. Keep it to yourself."
    echo "# PROFILE=production: cookies for HTTPS only; set it once TLS ends in front of the edge."
    echo "PROFILE=demo"
    echo "# The address of what ends TLS in front of the edge: what it says of a client's address is believed."
    echo "EDGE_TRUSTED_PROXIES="
    echo "EDGE_ADDRESS=127.0.0.1"
    echo "EDGE_PORT=8080"
    echo "MANAGEMENT_PORT=15682"
    echo "GRAFANA_PORT=3000"
    echo "# TRACES=otlp: export traces to this collector; then build the images anew."
    echo "TRACES=off"
    echo "OTEL_EXPORTER_OTLP_ENDPOINT=http://collector:4318"
    for name in AUTH_MASTER_KEY STORES_ADMIN_PASSWORD \
        AUTH_STORE_PASSWORD CATALOG_STORE_PASSWORD ORDER_STORE_PASSWORD PAYMENT_STORE_PASSWORD \
        AUTH_BROKER_PASSWORD CATALOG_BROKER_PASSWORD ORDER_BROKER_PASSWORD PAYMENT_BROKER_PASSWORD \
        OPERATOR_BROKER_PASSWORD MONITORING_BROKER_PASSWORD GRAFANA_PASSWORD; do
        echo "$name=$(secret)"
    done
    echo "OPERATOR_EMAIL=operator@shop.example"
    echo "OPERATOR_PASSWORD=$(secret)"
    echo "CUSTOMER_EMAIL=reader@shop.example"
    echo "CUSTOMER_PASSWORD=$(secret)"
} > .env
echo "Wrote .env. Now: docker compose up --build --detach"
