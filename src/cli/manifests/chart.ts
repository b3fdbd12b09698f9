// Renders the chart that is shipped with the program: the templates of each part, in the order in which they
// are applied.

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { parse } from 'yaml';
import { home } from '../../process/home.ts';
import type { Part } from './parts.ts';
import { renderTemplate } from './render.ts';
import type { Schema } from './schema.ts';
import { TemplateError } from './template.ts';
import { parseValues, type Values } from './values.ts';

const chart = new URL('deploy/chart/', home);

export interface RenderInput {
  readonly part: Part;
  readonly namespace: string;
  readonly values: Values;
}

/** The default values of the chart. */
export function defaultValues(): Values {
  return parseValues(read('values.yaml'), 'values.yaml');
}

/** The schema of the values. Helm adds `global` by itself; no template of ours reads it. */
export function valuesSchema(): Schema {
  const schema = JSON.parse(read('values.schema.json')) as Schema;
  const properties = Object.entries(schema.properties ?? {}).filter(([name]) => name !== 'global');
  return { ...schema, properties: Object.fromEntries(properties) };
}

/** The manifests of a part as YAML, in an order in which they can be applied. Throws TemplateError. */
export function renderChart({ part, namespace, values }: RenderInput): string {
  const roots = { Values: values, Release: { Namespace: namespace }, Chart: chartRoot() };
  const file = (path: string) => (existsSync(new URL(path, chart)) ? read(path) : undefined);
  const texts = templatesOf(part).map((name) => {
    try {
      return renderTemplate(read(`templates/${name}`), { roots, file }).trim();
    } catch (error) {
      if (!(error instanceof TemplateError)) throw error;
      throw new Error(`deploy/chart/templates/${name}: ${error.message}`, { cause: error });
    }
  });
  const documents = texts.filter((text) => text !== '').map((text) => text.replace(/^---\n/, ''));
  return `${documents.join('\n---\n')}\n`;
}

/** The namespace and the CRDs come before the objects that need them. */
function templatesOf(part: Part): readonly string[] {
  const [namespace, crds] = ['namespace.yaml', 'crds.yaml'];
  const others = readdirSync(new URL('templates/', chart))
    .filter((name) => name.endsWith('.yaml') && name !== namespace && name !== crds)
    .sort();
  switch (part) {
    case 'crds':
      return [crds];
    case 'all':
      return [namespace, crds, ...others];
    default:
      return [namespace, ...others.filter((name) => name.startsWith(part))];
  }
}

/** `.Chart`, with Helm's names for the keys of Chart.yaml. */
function chartRoot(): object {
  const { name, version, appVersion } = parse(read('Chart.yaml')) as Record<string, string>;
  return { Name: name, Version: version, AppVersion: appVersion };
}

function read(path: string): string {
  return readFileSync(new URL(path, chart), 'utf8');
}
