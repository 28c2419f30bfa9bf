import { isUtf8 } from 'node:buffer';
import { encodeValue } from '../../protocol/msgpack.ts';
import { UsageError } from './exit-codes.ts';

/** The values of a push, encoded: `-` is all of stdin, as it comes; with `json` each is parsed as JSON first. */
export async function readValues(texts: readonly string[], json: boolean): Promise<Uint8Array[]> {
  if (texts.filter((text) => text === '-').length > 1)
    throw new UsageError('- (stdin) can be read only once');
  const values: Uint8Array[] = [];
  for (const text of texts) {
    const bytes = text === '-' ? await readStdin() : Buffer.from(text);
    if (json) values.push(encodeValue(parseJson(bytes.toString('utf8'))));
    else values.push(encodeValue(isUtf8(bytes) ? bytes.toString('utf8') : bytes));
  }
  return values;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new UsageError(`the value is not JSON: ${(error as Error).message}`);
  }
}

async function readStdin(): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of process.stdin) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}
