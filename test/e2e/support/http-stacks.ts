import { request } from 'node:http';

export interface HttpAnswer {
  /** 0: no answer came. */
  readonly status: number;
  readonly body: Buffer;
  readonly headers: Record<string, string | string[] | undefined>;
  /** Code of the socket's error. */
  readonly error: string;
}

export interface HttpOptions {
  readonly method?: string;
  readonly headers?: Record<string, string>;
  readonly timeoutMs?: number;
}

/** One HTTP request on a connection of its own. Never rejects. */
export function http(
  url: string,
  body: string | Uint8Array = '',
  options: HttpOptions = {},
): Promise<HttpAnswer> {
  return new Promise((resolve) => {
    const none = (error: string): void => {
      resolve({ status: 0, body: Buffer.alloc(0), headers: {}, error });
    };
    const outgoing = request(
      url,
      { method: options.method ?? 'POST', headers: options.headers ?? {}, agent: false },
      (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('end', () => {
          clearTimeout(timer);
          const { statusCode = 0, headers } = response;
          resolve({ status: statusCode, body: Buffer.concat(chunks), headers, error: '' });
        });
        response.on('error', (error: NodeJS.ErrnoException) => {
          none(error.code ?? error.message);
        });
      },
    );
    const timer = setTimeout(() => {
      outgoing.destroy(Object.assign(new Error('no answer in time'), { code: 'TIMEOUT' }));
    }, options.timeoutMs ?? 30_000);
    outgoing.on('error', (error: NodeJS.ErrnoException) => {
      clearTimeout(timer);
      none(error.code ?? error.message);
    });
    outgoing.end(body);
  });
}

/** The error of an answer that is no result. */
export function httpError(answer: HttpAnswer): { code: string; outcome: 'not_applied' | 'unknown' } {
  // Refused before a byte was sent: the only silence that says something.
  if (answer.status === 0)
    return { code: answer.error, outcome: answer.error === 'ECONNREFUSED' ? 'not_applied' : 'unknown' };
  const { error } = JSON.parse(answer.body.toString()) as {
    error: { code: string; outcome: 'not_applied' | 'unknown' };
  };
  return error;
}
