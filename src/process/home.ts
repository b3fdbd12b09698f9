// Where this program lies: the folder with package.json, the addon, the chart and the examples.

/** Two levels above this file, and as many above the files that it is bundled into. */
export const home: URL = new URL('../../', import.meta.url);
