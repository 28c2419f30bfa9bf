/** One command of a `sh` block, and what the comment behind it says it answers. */
export interface ShellCommand {
  readonly text: string;
  /** Of the HTTP answer to a `curl` command. */
  readonly status?: number;
  /** What it prints: this, or `number` for "the new size" and the like. */
  readonly prints?: string | typeof ANY_NUMBER;
}

export const ANY_NUMBER: unique symbol = Symbol('any number');

/** Words that stand for an answer which depends on what was done before. */
const NUMBER_WORDS = new Set(['the new size', 'the size', 'the number']);

/**
 * The commands of a block: a line each, or several that end with a backslash. A comment of its own line is left out;
 * one behind a command is its documented answer if it begins with one, up to a colon or parenthesis:
 *
 * ```
 * curl …         # 200, 10: any node takes any request
 * cordwood size  # 2
 * cordwood pop   # "stack them"
 * ```
 *
 * Other comments are prose; a curl command whose comment begins with a status must be understood as a whole.
 */
export function shellCommands(code: string): ShellCommand[] {
  const joined = code.replace(/\\\n\s*/g, '');
  const commands: ShellCommand[] = [];
  for (const line of joined.split('\n')) {
    const [text, comment] = splitComment(line);
    if (text === '') continue;
    commands.push({ text, ...documentedAnswer(text, comment) });
  }
  return commands;
}

function splitComment(line: string): [text: string, comment: string] {
  let quote = '';
  for (let at = 0; at < line.length; at++) {
    const char = line[at]!;
    if (quote !== '') {
      if (char === quote) quote = '';
    } else if (char === '"' || char === "'") {
      quote = char;
    } else if (char === '#' && (at === 0 || /\s/.test(line[at - 1]!))) {
      return [line.slice(0, at).trim(), line.slice(at + 1).trim()];
    }
  }
  return [line.trim(), ''];
}

function documentedAnswer(text: string, comment: string): Partial<ShellCommand> {
  if (/^curl\s/.test(text)) {
    const answer = /^(\d{3})(?:, ([^:(]+?))?\s*(?:[:(].*)?$/.exec(comment);
    if (answer === null) {
      if (/^\d{3}\b/.test(comment)) throw new Error(`not understood: ${text} # ${comment}`);
      return {};
    }
    const prints = answer[2] === undefined ? undefined : printed(answer[2]);
    if (answer[2] !== undefined && prints === undefined)
      throw new Error(`not understood: ${text} # ${comment}`);
    return { status: Number(answer[1]), ...(prints === undefined ? {} : { prints }) };
  }
  const answer = /^("[^"]*"|\d+|the [a-z ]+?)\s*(?:[:(].*)?$/.exec(comment);
  const prints = answer === null ? undefined : printed(answer[1]!);
  return prints === undefined ? {} : { prints };
}

function printed(words: string): ShellCommand['prints'] | undefined {
  if (/^\d+$/.test(words)) return words;
  if (NUMBER_WORDS.has(words)) return ANY_NUMBER;
  return /^"(.*)"$/.exec(words)?.[1];
}
