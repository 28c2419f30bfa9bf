import { main } from '../../../bin/main.ts';

/*
 * Runs command lines sent by the parent process, one after the other, in this one process, and sends back what each
 * printed and its exit status. Starting a process for each would be most of a test's time.
 */

let stdout = '';
let stderr = '';
process.stdout.write = (text: string | Uint8Array) => {
  stdout += Buffer.from(text as string).toString();
  return true;
};
process.stderr.write = (text: string | Uint8Array) => {
  stderr += Buffer.from(text as string).toString();
  return true;
};

let last: Promise<void> = Promise.resolve();

process.on('message', ({ args, env }: { args: string[]; env: Record<string, string> }) => {
  last = last.then(async () => {
    stdout = stderr = '';
    process.exitCode = undefined;
    delete process.env['CORDWOOD_ADDR'];
    Object.assign(process.env, env);
    const code = await main(args);
    process.send!({ code, stdout, stderr });
    process.exitCode = undefined;
  });
});
process.once('disconnect', () => process.exit(0));
