import type { Command } from 'commander';
import { integer } from './numbers.ts';

/** Options of the commands that write the data directories of a new cluster. */
export interface NewClusterOptions {
  readonly data?: string;
  readonly cluster?: string;
  readonly id?: number;
  readonly newId?: string;
  readonly json?: boolean;
}

/** `source`: what the new cluster is made of, and must be the same wherever a part of it is written. */
export function newClusterOptions(command: Command, source: string): Command {
  return command
    .option('--cluster <list>', 'peer addresses host:port,… of the new nodes 1, 2, …')
    .option('--data <dir>', "where to: node N's directory is DIR/N; with --id it is DIR")
    .option('--id <n>', 'write the directory of this node only', integer('--id', 1, 63))
    .option(
      '--new-id <text>',
      'any text: tells clusters apart that are made of the same thing at the same addresses',
    )
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      `
On one machine: without --id, then carry each directory to its node. On each machine by itself: with --id, and the
same ${source}, --cluster and --new-id everywhere; what is written belongs together because these are the same.`,
    );
}
