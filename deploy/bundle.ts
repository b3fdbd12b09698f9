// `node deploy/bundle.ts FOLDER`: the program and its libraries as a few files, as the image has them. The
// loader of two hundred small files is what would warm up the optimizing compilers at every start.

import { fileURLToPath } from 'node:url';
import { build, type Plugin } from 'esbuild';

const [folder] = process.argv.slice(2);
if (folder === undefined) throw new Error('usage: node deploy/bundle.ts FOLDER');

/** `ws` asks for TLS in order to load itself, and needs it for `wss://` alone: 2 MB resident. */
const tlsOnDemand: Plugin = {
  name: 'tls-on-demand',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^(https|tls)$/ }, ({ path }) => ({ path, namespace: 'on-demand' }));
    onLoad({ filter: /./, namespace: 'on-demand' }, ({ path }) => ({
      contents: `module.exports = new Proxy({}, { get: (_, name) => process.getBuiltinModule('${path}')[name] });`,
    }));
  },
};

await build({
  absWorkingDir: fileURLToPath(new URL('..', import.meta.url)),
  entryPoints: ['src/cli/main.ts'],
  outdir: folder,
  bundle: true,
  platform: 'node',
  format: 'esm',
  target: 'node24',
  // Each command stays a file of its own, so that an agent carries nothing of the others.
  splitting: true,
  // Names stay as they are written: a stack in a log is there to be read.
  minifySyntax: true,
  minifyWhitespace: true,
  legalComments: 'none',
  logLevel: 'warning',
  plugins: [tlsOnDemand],
  // Libraries that are not modules ask for Node's own by require.
  banner: { js: "const require = process.getBuiltinModule('module').createRequire(import.meta.url);" },
});
