# Run once by PostgreSQL's image when its data folder is empty: a database for each service, and a user who owns that
# one and cannot even connect to the others'.
set -eu
for service in auth catalog order payment; do
    name="$(printf %s "$service" | tr a-z A-Z)_STORE_PASSWORD"
    psql --quiet --no-psqlrc -v ON_ERROR_STOP=1 --username "${POSTGRES_USER:-postgres}" --dbname postgres \
        -v service="$service" -v password="$(printenv "$name")" <<'SQL'
CREATE ROLE :"service" LOGIN PASSWORD :'password';
CREATE DATABASE :"service" OWNER :"service";
REVOKE ALL ON DATABASE :"service" FROM PUBLIC;
SQL
done
