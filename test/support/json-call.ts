// JSON requests to a server in a process of its own.

export type JsonCall = (
  method: string,
  path: string,
  body?: object,
  token?: string,
) => Promise<{ status: number; body: any }>

/** @param url of the server. */
export const jsonCall =
  (url: string): JsonCall =>
  async (method, path, body, token) => {
    const response = await fetch(url + path, {
      method,
      headers: {
        ...(body && { 'Content-Type': 'application/json' }),
        ...(token !== undefined && { Authorization: `Bearer ${token}` }),
      },
      ...(body && { body: JSON.stringify(body) }),
    })
    return { status: response.status, body: await response.json() }
  }
