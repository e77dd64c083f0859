// Which addresses mails are sent to.
import { expect, test } from 'bun:test'
import { isMailAddress } from '../../src/mail/address.ts'

test.each([
  'ada@example.com',
  'a.b+tag@mail.example.co.uk',
  "o'neil=x/y!#$%&*?^_`{|}~@example.com",
  'root@localhost',
  'grüße@exämple.de',
  'имя@пример.рф',
  'a@xn--exmple-cua.de',
  'person-019a0000-0000-7000-8000-000000000001@example.com',
])('%s is one', (address) => {
  expect(isMailAddress(address)).toBe(true)
})

test.each([
  'no at sign',
  '@example.com',
  'ada@',
  'ada@example..com',
  'ada@.com',
  'ada@-example.com',
  'a b@example.com',
  'ada@example.com\r\nBcc: eve@example.com',
  'ada@example.com, eve@example.com',
  'ada@example.com;eve@example.com',
  '"eve@example.com" <ada@example.com>',
  '<ada@example.com>',
  'ada(comment)@example.com',
  'ada@example.com@example.org',
  'ada@[127.0.0.1]',
  'group:ada@example.com;',
  'ada\u202e@example.com',
  'ada\u200b@example.com',
  'ada\0@example.com',
  `${'a'.repeat(65)}@example.com`,
  `ada@${'a'.repeat(64)}.com`,
  `ada@${'a.'.repeat(126)}com`,
])('%p is none', (address) => {
  expect(isMailAddress(address)).toBe(false)
})
