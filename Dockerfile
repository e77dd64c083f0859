# One image, every role: the command names it (`server`, `worker`, `migrate`). PostgreSQL, Redis and their
# addresses come from outside; nothing embedded is in here.
FROM oven/bun:1.4.5-slim AS packages
WORKDIR /app
COPY package.json bun.lock ./
COPY patches ./patches
# No role needs the development packages, and no optional one is used.
RUN bun install --frozen-lockfile --production --omit=optional

FROM oven/bun:1.4.5-slim
WORKDIR /app
ENV NODE_ENV=production TIDE_ENV=production HOST=0.0.0.0 PORT=3000 TIDE_DATA=/var/lib/tasktide
RUN mkdir -p /var/lib/tasktide && chown bun:bun /var/lib/tasktide
COPY --from=packages /app/node_modules ./node_modules
COPY package.json tsconfig.json ./
COPY sql ./sql
COPY src ./src
# `tail` and the live board stand on the client.
COPY packages/client/src ./packages/client/src
COPY web ./web
USER bun
EXPOSE 3000
# /livez, not /readyz: an outage of PostgreSQL or Redis must not get every server restarted. NO_PROXY, because an
# HTTP_PROXY of the host is meant for other addresses than the container's own.
HEALTHCHECK --interval=5s --timeout=3s --start-period=15s --retries=3 \
  CMD ["bun", "-e", "process.env.NO_PROXY = '*'; process.exit((await fetch(`http://127.0.0.1:${process.env.PORT}/livez`)).ok ? 0 : 1)"]
ENTRYPOINT ["bun", "src/main.ts"]
CMD ["server"]
