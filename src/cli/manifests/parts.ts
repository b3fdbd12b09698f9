// The parts of the manifests, by name; apart from what renders them, which no other verb loads.

export const parts = ['crds', 'agent', 'controller', 'all'] as const;
export type Part = (typeof parts)[number];

export const forms = ['yaml', 'json'] as const;
export type Form = (typeof forms)[number];
