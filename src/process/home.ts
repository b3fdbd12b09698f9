// The program's folder, with package.json, the addon, the chart and the examples.

/** Two levels above this file, and above the bundled files too. */
export const home: URL = new URL('../../', import.meta.url);
