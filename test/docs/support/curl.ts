/*
 * Stands in for curl where there is none: the options that the documents use, and `-w` for the status.
 */
import { parseArgs } from 'node:util';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    location: { type: 'boolean', short: 'L' },
    silent: { type: 'boolean', short: 's' },
    'show-error': { type: 'boolean', short: 'S' },
    request: { type: 'string', short: 'X' },
    data: { type: 'string', short: 'd' },
    header: { type: 'string', short: 'H', multiple: true },
    'write-out': { type: 'string', short: 'w' },
  },
});
const headers = new Headers(values.header?.map((line) => line.split(/: */, 2) as [string, string]));
if (values.data !== undefined && !headers.has('content-type'))
  headers.set('content-type', 'application/x-www-form-urlencoded');
const answer = await fetch(positionals[0]!, {
  method: values.request ?? (values.data === undefined ? 'GET' : 'POST'),
  headers,
  redirect: values.location === true ? 'follow' : 'manual',
  ...(values.data === undefined ? {} : { body: values.data }),
});
process.stdout.write(await answer.text());
const trailer = values['write-out'] ?? '';
process.stdout.write(trailer.replaceAll('%{http_code}', String(answer.status)).replaceAll('\\n', '\n'));
