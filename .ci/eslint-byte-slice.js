/**
 * `slice` copies a Uint8Array, and shows the same memory of a Buffer, which is one: whoever means a copy gets a view
 * that changes when a socket reads again. Nothing in the declared type tells the two apart, so neither is sliced.
 */

const BYTES = new Set(['Uint8Array', 'Buffer']);

function isBytes(type) {
  return type.isUnionOrIntersection() ? type.types.some(isBytes) : BYTES.has(type.getSymbol()?.name);
}

/** @type {import('eslint').Rule.RuleModule} */
export const byteSlice = {
  meta: {
    type: 'problem',
    docs: { description: 'Bytes are copied with copyOf and looked at with subarray.' },
    schema: [],
    messages: { slice: 'A slice of a Buffer is no copy: use copyOf for a copy and subarray for a view.' },
  },
  create(context) {
    const services = context.sourceCode.parserServices;
    if (!services?.program) return {};
    return {
      'CallExpression > MemberExpression.callee[property.name="slice"]'(node) {
        if (isBytes(services.getTypeAtLocation(node.object))) context.report({ node, messageId: 'slice' });
      },
    };
  },
};
