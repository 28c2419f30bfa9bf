import { Option } from 'commander';

/** The least important first. Apart from the logger, which takes longer to load than the whole command line. */
const LOG_LEVELS = ['debug', 'info', 'warn', 'error', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

export function logLevelOption(description: string): Option {
  return new Option('--log-level <level>', description).choices(LOG_LEVELS).default('info');
}
