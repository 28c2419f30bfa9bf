import { isUtf8 } from 'node:buffer';
import { Limits } from '../../protocol/constants.ts';
import { CordwoodError } from '../../protocol/errors.ts';
import { encodeValue } from '../../protocol/msgpack.ts';
import { encodeJson } from '../../lib/server/encode-json.ts';
import { UsageError } from './exit-codes.ts';

/** The values of a push, encoded: `-` is all of stdin, as it comes; with `json` each is parsed as JSON first. */
export async function readValues(texts: readonly string[], json: boolean): Promise<Uint8Array[]> {
  if (texts.filter((text) => text === '-').length > 1)
    throw new UsageError('- (stdin) can be read only once');
  const values: Uint8Array[] = [];
  for (const text of texts) {
    const bytes = text === '-' ? await readStdin() : Buffer.from(text);
    if (json) values.push(encodeText(bytes.toString('utf8')));
    else values.push(encodeValue(isUtf8(bytes) ? bytes.toString('utf8') : bytes));
  }
  return values;
}

/** The value that `text` is the JSON of. */
function encodeText(text: string): Uint8Array {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new UsageError(`the value is not JSON: ${(error as Error).message}`);
  }
  try {
    return encodeJson(value);
  } catch (error) {
    throw new UsageError(`not a value that can be stored: ${(error as Error).message}`);
  }
}

/** What no node would take is not gathered first: there may be no end to it. */
async function readStdin(): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of process.stdin as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > Limits.maxFrameBytes)
      throw new CordwoodError(
        'TOO_LARGE',
        `stdin has more than the ${Limits.maxFrameBytes} bytes of a request`,
      );
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
