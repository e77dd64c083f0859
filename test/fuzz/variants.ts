// Variants of the server that each break one promise of the document: a run must detect every one of them.
import type { Edit } from '../chaos/edit.ts'

export const fuzzVariants: Record<string, Edit[]> = {
  'a limit that is not enforced': [
    { file: 'model/text.ts', from: '  if (length > maxLength) return tooLong\n', to: '' },
  ],
  'unknown members that are ignored': [
    {
      file: 'http/violations.ts',
      from: 'if (!hasOwn(properties, name)) add(findings, at(pointer, name), unknownMember)',
      to: '',
    },
  ],
  'a format that is not enforced': [
    {
      file: 'model/scalar.ts',
      from: "TypeRegistry.Set('Id', (_schema, value) => isId(value))",
      to: "TypeRegistry.Set('Id', (_schema, value) => typeof value === 'string')",
    },
  ],
  'a status that is not documented': [
    { file: 'http/response.ts', from: '  status: 201,\n', to: '  status: 202,\n' },
  ],
  'an answer with a further member': [
    {
      file: 'http/routes/users.ts',
      from: 'const render = (user: User) => bodyTag(ok(user))',
      to: "const render = (user: User) => bodyTag(ok({ ...user, passwordHash: 'x' }))",
    },
  ],
  'a handler that throws': [
    {
      file: 'http/routes/comments.ts',
      from: '(slice) => listComments(',
      to: "(slice) => slice.page !== null ? Promise.reject(new TypeError('x')) : listComments(",
    },
  ],
  '405 without Allow': [
    {
      file: 'http/errors.ts',
      from: "if (Array.isArray(extra?.['allow'])) headers['Allow'] = extra['allow'].join(', ')",
      to: '',
    },
  ],
  'problems of another type': [
    {
      file: 'http/errors.ts',
      from: "'Content-Type': 'application/problem+json',",
      to: "'Content-Type': 'application/json',",
    },
  ],
  'rights that are read before the credentials': [
    {
      file: 'http/pipeline.ts',
      from: '    if (context.rejection !== null) throw context.rejection\n',
      to: "    if (context.rejection !== null) throw new AppError('not_found')\n",
    },
    {
      file: 'http/pipeline.ts',
      from: "import type { AppError } from '../errors.ts'",
      to: "import { AppError } from '../errors.ts'",
    },
  ],
}
