#!/usr/bin/env node
import { main } from './main.ts';
import { watchOutput } from './support/lost-output.ts';

const args = process.argv.slice(2);
watchOutput(args);
process.exitCode = await main(args);
