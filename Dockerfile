# One image for all four services, their migrations and the operator's jobs; the command says which:
#   docker run orderflow order_svc serve
# Debian's slim image rather than Alpine: every dependency comes as a ready wheel, nothing is compiled.

FROM python:3.11.13-slim-bookworm AS build
RUN python -m venv /venv
COPY requirements.txt /build/requirements.txt
COPY requirements-otel.txt /build/requirements-otel.txt
RUN /venv/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes --only-binary :all: \
    -r /build/requirements.txt
# `--build-arg TRACES=otlp`: what exporting traces needs.
ARG TRACES=off
RUN if [ "$TRACES" = otlp ]; then /venv/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes \
    --only-binary :all: -r /build/requirements-otel.txt; fi

FROM python:3.11.13-slim-bookworm
RUN groupadd --gid 10001 shop \
    && useradd --uid 10001 --gid shop --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin shop \
    && install -d -o shop -g shop /definitions
COPY --from=build /venv /venv
WORKDIR /app
COPY contracts contracts
COPY chassis chassis
COPY auth_svc auth_svc
COPY catalog_svc catalog_svc
COPY order_svc order_svc
COPY payment_svc payment_svc
COPY ops ops
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1
RUN python -m compileall -q .
# Numeric, so that an orchestrator can see that it is not root.
USER 10001:10001
ENTRYPOINT ["python", "-m"]
