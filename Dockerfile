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
WORKDIR /app
# A small young generation costs nothing measurable here and saves 14 MB under churn.
ENTRYPOINT ["/usr/bin/node", "--max-semi-space-size=1", "/app/dist/cli/main.js"]
CMD ["--help"]
