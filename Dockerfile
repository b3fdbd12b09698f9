# One image for the agent and the controller: the compiled program, the pinned Node and the libraries it needs,
# and nothing else (no shell, no package manager). The command line chooses: `agent ...` or `controller ...`.
FROM debian:bookworm-slim AS build
RUN apt-get update -qq \
 && apt-get install -qq -y --no-install-recommends nodejs npm gcc libc6-dev binutils ca-certificates >/dev/null
WORKDIR /src
COPY package.json package-lock.json .npmrc ./
COPY native native
COPY bin bin
RUN npm ci --ignore-scripts --include=optional --engine-strict=false --audit=false --fund=false --loglevel=error \
 && sh native/build.sh
COPY tsconfig.json tsconfig.build.json ./
COPY src src
# The native compiler of TypeScript needs the pinned Node, not Debian's.
RUN PATH="$(echo /src/node_modules/node-linux-*/bin):$PATH" node node_modules/typescript/bin/tsc -p tsconfig.build.json
# Node by itself with its libraries, at the paths the loader looks in.
RUN mkdir -p /out/app/build /out/usr/bin /out/tmp && chmod 1777 /out/tmp \
 && cp node_modules/node-linux-*/bin/node /out/usr/bin/node && strip /out/usr/bin/node \
 && for library in $(ldd /out/usr/bin/node | grep -o '/[^ ]*'); do cp -L --parents "$library" /out; done \
 && cp build/syscalls.node /out/app/build/ && cp -r dist package.json /out/app/
# Only what runs: no compilers, no types, no second Node.
RUN npm ci --ignore-scripts --omit=dev --omit=optional --engine-strict=false --audit=false --fund=false --loglevel=error \
 && rm -rf node_modules/.bin node_modules/node-api-headers && find node_modules -type d -empty -delete \
 && cp -r node_modules /out/app/

FROM scratch
COPY --from=build /out /
ENV NODE_ENV=production
WORKDIR /app
# A small young generation costs nothing measurable here and saves 14 MB under churn.
ENTRYPOINT ["/usr/bin/node", "--max-semi-space-size=1", "/app/dist/cli/main.js"]
CMD ["--help"]
