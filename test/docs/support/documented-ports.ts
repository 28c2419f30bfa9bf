import { localLayout } from '../../../bin/local/layout.ts';
import { freePortRange, freePorts } from '../../e2e/support/ports.ts';

/** Where documents write a port: behind an address, an option, or a property. */
const PORTS = /(127\.0\.0\.1:|--port[ =]|--base-port[ =]|\bport: )(\d{4,5})\b/g;

/** Free ports for those that a document names: the same one each time the document names the same. */
export class DocumentedPorts {
  readonly #given = new Map<string, number>();
  readonly base: number;
  /** Client addresses of a local cluster on `base`. */
  readonly addresses: string[];

  private constructor(base: number, addresses: string[]) {
    this.base = base;
    this.addresses = addresses;
  }

  /** For text about a running local cluster of five nodes, which is to have `base` as its base port. */
  static async ofLocalCluster(): Promise<DocumentedPorts> {
    const span = localLayout(5, 10).at(-1)!.clientPort - localLayout(5, 10)[0]!.peerPort + 1;
    const base = (await freePortRange(span)) + 1;
    const nodes = localLayout(5, base);
    const ports = new DocumentedPorts(
      base,
      nodes.map((node) => node.clientAddress),
    );
    for (const [i, standard] of localLayout(5).entries()) {
      ports.#given.set(String(standard.clientPort), nodes[i]!.clientPort);
      ports.#given.set(String(standard.peerPort), nodes[i]!.peerPort);
    }
    return ports;
  }

  /** For text that starts what it talks to. */
  static ofItsOwn(): DocumentedPorts {
    return new DocumentedPorts(0, []);
  }

  async replaceIn(text: string): Promise<string> {
    for (const [, , port] of text.matchAll(PORTS))
      if (!this.#given.has(port!)) this.#given.set(port!, (await freePorts(1))[0]!);
    return text.replace(PORTS, (_, before: string, port: string) => `${before}${this.#given.get(port)}`);
  }
}
