/**
 * Requests to our part of the server, with the reader's login and the token that keeps other sites out.
 */
import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';

/** Return the address of one of our routes. */
export function route(path: string, query: Record<string, string> = {}): string {
  const url = URLExt.join(ServerConnection.makeSettings().baseUrl, 'workbench', path);
  return url + (Object.keys(query).length ? URLExt.objectToQueryString(query) : '');
}

export function ask(url: string, init: RequestInit = {}): Promise<Response> {
  return ServerConnection.makeRequest(url, init, ServerConnection.makeSettings());
}

/** Return the answer's content, or throw what the server says is wrong. */
export async function content<T>(answer: Response): Promise<T> {
  if (!answer.ok) {
    throw new Error(await reason(answer));
  }
  return (await answer.json()) as T;
}

export async function reason(answer: Response): Promise<string> {
  try {
    return String((await answer.json()).message);
  } catch {
    return `${answer.status} ${answer.statusText}`;
  }
}
