// Node's HTTP. An import of it as a module reads all of its exports, and one of them loads Node's other HTTP
// client: 3 MB resident, and the time to load it at each start of a verb.

import type * as NodeHttp from 'node:http';

export const nodeHttp: typeof NodeHttp = process.getBuiltinModule('node:http');
