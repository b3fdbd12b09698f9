// The names of the manifests' parts. They are apart from the renderer, which other verbs do not load.

export const parts = ['crds', 'agent', 'controller', 'all'] as const;
export type Part = (typeof parts)[number];

export const forms = ['yaml', 'json'] as const;
export type Form = (typeof forms)[number];
