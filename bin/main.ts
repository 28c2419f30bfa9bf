import { Command, CommanderError } from 'commander';
import { EXIT_CODE_HELP, ExitCode, verdictOf } from './support/exit-codes.ts';
import { packageVersion } from './support/version.ts';

/** A file of bin/commands: adds its subcommand. What the subcommand needs is imported when it runs, not before. */
interface CommandModule {
  register(program: Command): void;
}

const COMMANDS: Readonly<Record<string, () => Promise<CommandModule>>> = {
  start: () => import('./commands/start.ts'),
  local: () => import('./commands/local.ts'),
  create: () => import('./commands/create.ts'),
  exists: () => import('./commands/exists.ts'),
  push: () => import('./commands/push.ts'),
  pop: () => import('./commands/pop.ts'),
  top: () => import('./commands/top.ts'),
  size: () => import('./commands/size.ts'),
  list: () => import('./commands/list.ts'),
  drop: () => import('./commands/drop.ts'),
  nc: () => import('./commands/nc.ts'),
  status: () => import('./commands/status.ts'),
  members: () => import('./commands/members.ts'),
  member: () => import('./commands/member.ts'),
  transfer: () => import('./commands/transfer.ts'),
  explain: () => import('./commands/explain.ts'),
  backup: () => import('./commands/backup.ts'),
  restore: () => import('./commands/restore.ts'),
  inspect: () => import('./commands/inspect.ts'),
  recover: () => import('./commands/recover.ts'),
};

/** Runs the command line and resolves to the exit status. */
export async function main(args: readonly string[]): Promise<number> {
  const [first] = args;
  // `cordwood --id 1 --cluster … --port …` is how nodes have always been started.
  const given = first?.startsWith('-') === true && !TOP_LEVEL.has(first) ? ['start', ...args] : [...args];
  const program = newProgram();
  const named = COMMANDS[given[0] ?? ''];
  const wanted = named !== undefined ? [named] : VERSION.has(given[0] ?? '') ? [] : Object.values(COMMANDS);
  for (const load of wanted) (await load()).register(program);
  try {
    if (given.length === 0) program.help();
    await program.parseAsync(given, { from: 'user' });
    return Number(process.exitCode ?? ExitCode.ok);
  } catch (error) {
    // Commander has said what there is to say.
    if (error instanceof CommanderError)
      return error.exitCode === 0 || given.length === 0 ? ExitCode.ok : ExitCode.usage;
    const { line, exitCode } = verdictOf(error);
    process.stderr.write(`${line}\n`);
    return exitCode;
  }
}

const VERSION: ReadonlySet<string> = new Set(['-V', '--version']);
const TOP_LEVEL: ReadonlySet<string> = new Set(['-h', '--help', ...VERSION]);

/** What commander says, with the suggestion that it puts on a line of its own. */
function errorLine(text: string): string {
  return text
    .trimEnd()
    .replace(/^error: /, 'cordwood: ')
    .replace(/\n\(Did you mean (.*)\?\)$/s, ' (did you mean $1?)')
    .replaceAll('\n', ' ');
}

function newProgram(): Command {
  const program = new Command('cordwood')
    .description('Replicated, fault-tolerant stacks: run nodes, and talk to them.')
    .version(packageVersion(), '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .helpCommand('help [command]', 'print help for a command')
    .showSuggestionAfterError()
    .exitOverride()
    .configureOutput({ outputError: (text, write) => write(`${errorLine(text)}\n`) })
    .addHelpText(
      'after',
      `
Try it:
  cordwood local up                 five nodes on this machine, in the foreground
  cordwood push jobs "first one"    from another terminal
  cordwood pop jobs
  curl http://127.0.0.1:12380/      the same over HTTP

Without a command, options start a node:
  cordwood --id 1 --cluster http://127.0.0.1:12379 --port 12380
${EXIT_CODE_HELP}`,
    );
  return program;
}
