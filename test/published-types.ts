import { spawnSync } from 'node:child_process';
import { copyFileSync } from 'node:fs';
import path from 'node:path';
import { root } from './root.ts';
import './support/plain-start.ts';

/** The package's manifest and its declarations as they are published, without what is internal, in an empty `directory`. */
export function emitPublishedTypes(directory: string): void {
  const compiler = path.join(root, 'node_modules/typescript/bin/tsc');
  // They are checked where they are built; here they are only written.
  const flags = ['--emitDeclarationOnly', '--noCheck', '--declarationMap', 'false'];
  const project = ['-p', path.join(root, 'tsconfig.build.json'), '--outDir', path.join(directory, 'dist')];
  const { status, stdout } = spawnSync(process.execPath, [compiler, ...project, ...flags], {
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(`the declarations cannot be made: ${stdout}`);
  copyFileSync(path.join(root, 'package.json'), path.join(directory, 'package.json'));
}
