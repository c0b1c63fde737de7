#!/bin/sh
# Makes the two secrets the manifests refer to, with random passwords. Never overwrites one.
#   sh ops/kubernetes/secrets.sh shop operator@shop.example
set -eu
namespace="${1:?usage: secrets.sh NAMESPACE OPERATOR_EMAIL}"
email="${2:?usage: secrets.sh NAMESPACE OPERATOR_EMAIL}"
secret() { od -An -v -N24 -tx1 /dev/urandom | tr -d ' \n'; }
# Through files, because arguments can be seen by everybody on the machine.
umask 077
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
mkdir "$folder/broker" "$folder/auth"
for user in auth catalog order payment operator monitoring; do secret > "$folder/broker/$user"; done
printf 'http://monitoring:%s@broker.%s:15672/' "$(cat "$folder/broker/monitoring")" "$namespace" > "$folder/broker/monitoring-url"
secret > "$folder/auth/master-key"
secret > "$folder/auth/operator-password"
printf %s "$email" > "$folder/auth/operator-email"
kubectl --namespace "$namespace" create secret generic shop-broker --from-file="$folder/broker"
kubectl --namespace "$namespace" create secret generic shop-auth --from-file="$folder/auth"
