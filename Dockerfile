# One image for the agent and the controller: the compiled program, the pinned Node and the libraries it needs,
# and nothing else (no shell, no package manager). The command line chooses: `agent ...` or `controller ...`.
# Behind a proxy with a CA of its own: --build-arg NODE_EXTRA_CA_CERTS=/run/ca.crt --volume FILE:/run/ca.crt:ro
FROM debian:bookworm-slim AS build
RUN apt-get update -qq \
 && apt-get install -qq -y --no-install-recommends nodejs npm gcc libc6-dev binutils ca-certificates >/dev/null
WORKDIR /src
ARG NODE_EXTRA_CA_CERTS
COPY package.json package-lock.json .npmrc ./
COPY native native
COPY bin bin
RUN npm ci --ignore-scripts --include=optional --engine-strict=false --audit=false --fund=false --loglevel=error \
 && sh native/build.sh
COPY tsconfig.json ./
COPY deploy deploy
COPY src src
RUN sh deploy/image.sh /out

FROM scratch
COPY --from=build /out /
ENV NODE_ENV=production
ENV MALLOC_ARENA_MAX=1
WORKDIR /app
# These flags and the one memory pool above halve the memory of an agent with many VIPs; the first load takes a
# little longer: docs/decisions/0008-a-bundle.md.
ENTRYPOINT ["/usr/bin/node", "--optimize-for-size", "--no-sparkplug", "--no-allocation-site-pretenuring", "/app/dist/cli/main.js"]
CMD ["--help"]
