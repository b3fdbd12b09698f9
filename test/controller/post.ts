// Requests a change of a controller over HTTP, as the verbs do.

export interface Answer {
  readonly status: number;
  readonly body: {
    readonly error?: { readonly code: string; readonly message: string; readonly next: string };
    readonly moved?: number;
  };
}

export async function post(url: string, path: string, body: unknown, token?: string): Promise<Answer> {
  const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  const response = await fetch(`${url}/api/v1/${path}`, { method: 'POST', headers, body: text });
  return { status: response.status, body: (await response.json()) as Answer['body'] };
}
