// `vipward manifests`: the manifests that run vipward in a cluster, rendered from the chart without Helm.

import { readFileSync } from 'node:fs';
import { parseAllDocuments } from 'yaml';
import { UsageError } from '../process/usage.ts';
import { checkAddresses } from './manifests/addresses.ts';
import { defaultValues, renderChart, valuesSchema } from './manifests/chart.ts';
import type { Form, Part } from './manifests/parts.ts';
import { checkValue } from './manifests/schema.ts';
import { assigned, mergeValues, parseAssignments, parseValues, type Values } from './manifests/values.ts';
import type { Surroundings } from './settings.ts';

const usualNamespace = 'vipward-system';

export interface ManifestsFlags {
  readonly namespace?: string;
  readonly output?: Form;
  readonly set?: readonly string[];
  readonly values?: readonly string[];
}

/** Prints the manifests of a part. Throws UsageError. */
export function runManifests(part: Part, flags: ManifestsFlags, { out }: Pick<Surroundings, 'out'>): number {
  const { namespace = usualNamespace, output = 'yaml' } = flags;
  if (!/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/.test(namespace))
    throw new UsageError(
      `--namespace: expected a name such as ${usualNamespace}, got ${JSON.stringify(namespace)}`,
    );
  const text = renderChart({ part, namespace, values: valuesOf(flags) });
  out.write(output === 'yaml' ? text : asList(text));
  return 0;
}

/** The defaults, overridden by the given values. Helm creates the namespace itself; kubectl does not. */
function valuesOf({ set = [], values: files = [] }: ManifestsFlags): Values {
  const given = [
    ...files.map((path) => {
      const where = `--values ${path}`;
      return { where, values: parseValues(readFile(path), where) };
    }),
    ...set.flatMap((text) =>
      parseAssignments(text).map((one) => ({ where: `--set ${text}`, values: assigned(one) })),
    ),
  ];
  const schema = valuesSchema();
  for (const { where, values } of given) checkValue(values, schema, { where, path: '' });
  const usual: Values = { ...defaultValues(), createNamespace: true };
  const all = given.reduce((under, { values }) => mergeValues(under, values), usual);
  checkAddresses(all);
  return all;
}

/** One List object, which kubectl accepts like the separate documents. */
function asList(text: string): string {
  const items = parseAllDocuments(text).map((document) => document.toJS() as unknown);
  return `${JSON.stringify({ apiVersion: 'v1', kind: 'List', items }, null, 2)}\n`;
}

function readFile(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new UsageError(`--values ${path}: ${(error as Error).message}`, { cause: error });
  }
}
