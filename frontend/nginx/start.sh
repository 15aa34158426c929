#!/bin/sh
# Renders the configuration beside this file into RUN_DIR and becomes nginx, in the foreground.
# The image and local runs start the site through this one script.
#
#   FRONTEND_ROOT      directory of the static files
#   FRONTEND_PORT      port to listen on
#   FRONTEND_ADDR      address to listen on (default 127.0.0.1)
#   PRODUCER_UPSTREAM  host:port of producer-svc
#   RUN_DIR            writable directory (absolute) for the rendered configuration, pid and temporary files
set -eu

FRONTEND_ADDR=${FRONTEND_ADDR:-127.0.0.1}
for name in FRONTEND_ROOT FRONTEND_PORT FRONTEND_ADDR PRODUCER_UPSTREAM RUN_DIR; do
    eval "value=\${$name:-}"
    case $value in
        "")
            echo "start.sh: $name is not set" >&2
            exit 64 ;;
        *[!A-Za-z0-9\ _./:@+,=~%\[\]-]*)
            echo "start.sh: $name='$value' has a character that cannot stand in an nginx configuration" >&2
            exit 64 ;;
    esac
done

here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$RUN_DIR/snippets"
cp "$here"/snippets/*.conf "$RUN_DIR/snippets/"
for name in nginx.conf default.conf; do
    # An explicit list: nginx has variables of its own that look the same.
    sed -e "s#\${FRONTEND_ROOT}#$FRONTEND_ROOT#g" \
        -e "s#\${FRONTEND_PORT}#$FRONTEND_PORT#g" \
        -e "s#\${FRONTEND_ADDR}#$FRONTEND_ADDR#g" \
        -e "s#\${PRODUCER_UPSTREAM}#$PRODUCER_UPSTREAM#g" \
        -e "s#\${RUN_DIR}#$RUN_DIR#g" \
        "$here/$name.template" > "$RUN_DIR/$name"
done

# As root the workers would become another user, who may not be allowed to read the checkout.
if [ "$(id -u)" = 0 ]; then
    exec nginx -e stderr -c "$RUN_DIR/nginx.conf" -g 'user root;'
fi
exec nginx -e stderr -c "$RUN_DIR/nginx.conf"
