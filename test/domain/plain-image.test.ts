// What becomes of an uploaded picture: the picture alone stays, and what is no well-formed picture is refused.
import { expect, test } from 'bun:test'
import { plainImage } from '../../src/domain/avatars/plain-image.ts'
import { gif, join8, jpeg, png, pngChunk, webp, type Bytes } from '../support/images.ts'

const secret = 'SECRET 52.5200 13.4050 <script>alert(1)</script>'

const textOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1')

/** A JPEG segment. */
const segment = (marker: number, content: string | number[]): Bytes => {
  const body = join8(content)
  return join8([0xff, marker, (body.length + 2) >> 8, (body.length + 2) & 255], body)
}

const exifWith = (orientation: number): string =>
  `Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0${String.fromCharCode(orientation)}\0\0\0\0\0\0\0${secret}`

const riff = (...chunks: [string, Uint8Array | number[] | string][]): Bytes => {
  const content = join8(
    'WEBP',
    ...chunks.flatMap(([name, bytes]) => {
      const body = join8(bytes)
      const { length } = body
      return [name, [length & 255, (length >> 8) & 255, 0, 0], body, new Uint8Array(length % 2)]
    }),
  )
  return join8('RIFF', [content.length & 255, content.length >> 8, 0, 0], content)
}

test('every colour type, depth and interlacing of PNG is kept as it is', async () => {
  for (const [type, depth] of [
    [0, 1],
    [0, 16],
    [2, 8],
    [4, 8],
    [6, 16],
  ] as const) {
    const image = png(5, 3, { type, depth })
    expect(await plainImage(image)).toEqual({ contentType: 'image/png', width: 5, height: 3, bytes: image })
  }
  const palette = [pngChunk('PLTE', [0, 0, 0]), pngChunk('tRNS', [0])]
  const indexed = png(9, 2, { type: 3, depth: 4, more: palette })
  expect((await plainImage(indexed))?.bytes).toEqual(indexed)
  expect(await plainImage(png(9, 2, { type: 3, depth: 4 }))).toBeNull()
  // 9 x 9 in seven passes of 2x2, 1x2, 3x1, 2x3, 5x2, 4x5 and 9x4 pixels, one byte and a filter a row
  const passes = 2 * 3 + 2 * 2 + 4 + 3 * 3 + 2 * 6 + 5 * 5 + 4 * 10
  expect(
    await plainImage(png(9, 9, { type: 0, isInterlaced: true, data: new Uint8Array(passes) })),
  ).not.toBeNull()
  expect(
    await plainImage(png(9, 9, { type: 0, isInterlaced: true, data: new Uint8Array(passes + 1) })),
  ).toBeNull()
})

test('metadata, comments, profiles and whatever follows the end are left out', async () => {
  const clean = png(4, 4)
  const more = ['tEXt', 'zTXt', 'iTXt', 'eXIf', 'iCCP', 'tIME', 'acTL'].map((name) => pngChunk(name, secret))
  expect((await plainImage(join8(png(4, 4, { more }), secret)))?.bytes).toEqual(clean)

  const photo = await jpeg()
  const dressed = join8(
    photo.subarray(0, 2),
    segment(0xe1, exifWith(6)),
    segment(0xe1, `http://ns.adobe.com/xap/1.0/\0${secret}`),
    segment(0xed, secret),
    segment(0xfe, secret),
    photo.subarray(2),
    secret,
  )
  const plain = (await plainImage(dressed))!
  expect(plain).toMatchObject({ contentType: 'image/jpeg', width: 24, height: 16 })
  for (const gone of ['SECRET', 'script', 'ICC_PROFILE', 'Google', 'JFIF', 'ns.adobe.com'])
    expect(textOf(plain.bytes)).not.toContain(gone)
  expect(textOf(plain.bytes.subarray(2, 40))).toContain(
    'Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06',
  )
  expect((await plainImage(plain.bytes))?.bytes).toEqual(plain.bytes) // nothing is left to leave out
  expect(textOf((await plainImage(photo))!.bytes)).not.toContain('Exif')

  const shown = await webp()
  const stripped = (await plainImage(join8(shown, secret)))!
  expect(stripped).toMatchObject({ contentType: 'image/webp', width: 24, height: 16 })
  expect(textOf(stripped.bytes)).not.toMatch(/ICCP|Google|SECRET/)
  expect(textOf(stripped.bytes)).toContain('ALPH')
  expect((await plainImage(stripped.bytes))?.bytes).toEqual(stripped.bytes)

  const comment = [0x21, 0xfe, 6, ...Buffer.from('SECRET'), 0]
  const control = [0x21, 0xf9, 4, 1, 0, 0, 0, 0]
  const loop = [0x21, 0xff, 11, ...Buffer.from('NETSCAPE2.0'), 3, 1, 0, 0, 0]
  const second = [0x2c, 0, 0, 0, 0, 1, 0, 1, 0, 0, 2, 2, 0x44, 1, 0]
  const moving = gif([...comment, ...loop, ...control], [...comment, ...second])
  expect((await plainImage(join8(moving, secret)))?.bytes).toEqual(gif(control))
})

test('what is no well-formed picture is refused', async () => {
  const [photo, shown] = [await jpeg(), await webp()]
  const picture = png(40, 40)
  const broken = (bytes: Bytes, at: number): Bytes => bytes.with(at, bytes[at]! ^ 1)
  const bomb = png(100, 100, { data: new Uint8Array(50_000_000) })
  const refused: Record<string, Bytes> = {
    empty: join8(),
    text: join8('hello'),
    html: join8('<!doctype html><script>alert(1)</script>'),
    svg: join8('<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>'),
    'html behind a signature': join8([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a], '<script>'),
    'gif that is a script': join8('GIF89a=1;alert(1)//'),
    zip: join8('PK\x03\x04', new Uint8Array(100)),
    pdf: join8('%PDF-1.7'),
    bmp: join8('BM', new Uint8Array(100)),
    'png without pixels': join8(picture.subarray(0, 33), pngChunk('IEND', [])),
    'png with a wrong checksum': broken(picture, 30),
    'png of 0 pixels': png(0, 10),
    'png with too little data': png(40, 40, { data: new Uint8Array(100) }),
    'png that inflates to 50 MB': bomb,
    'png with an unknown critical chunk': png(4, 4, { more: [pngChunk('EVIL', secret)] }),
    'png whose data has something behind it': join8(
      picture.subarray(0, 33),
      pngChunk('IDAT', join8(picture.subarray(41, picture.length - 16), secret)),
      pngChunk('IEND', []),
    ),
    'png cut off': picture.subarray(0, -20),
    'jpeg cut off': photo.subarray(0, -2),
    'jpeg without a scan': join8(photo.subarray(0, 200), [0xff, 0xd9]),
    'jpeg of 50 MB in its frame only': join8(
      [0xff, 0xd8],
      segment(0xc0, [8, 0xff, 0xff, 0xff, 0xff, 1, 1, 0x11, 0]),
      [0xff, 0xd9],
    ),
    'jpeg with arithmetic coding': join8(
      [0xff, 0xd8],
      segment(0xc9, [8, 0, 1, 0, 1, 1, 1, 0x11, 0]),
      [0xff, 0xd9],
    ),
    'gif cut off': gif().subarray(0, -3),
    'gif with a frame outside': gif().with(20, 9),
    'webp cut off': shown.subarray(0, -4),
    'webp animation': riff(
      ['VP8X', [2, 0, 0, 0, 0, 0, 0, 0, 0, 0]],
      ['ANIM', [0, 0, 0, 0, 0, 0]],
      ['ANMF', 'x'],
    ),
    'webp that names a canvas of its own': riff(
      ['VP8X', [0, 0, 0, 0, 9, 0, 0, 9, 0, 0]],
      ['VP8L', [0x2f, 0, 0, 0, 0, 0, 0]],
    ),
    'webp without an image': riff(['ICCP', secret]),
  }
  const accepted: string[] = []
  for (const [name, bytes] of Object.entries(refused)) if (await plainImage(bytes)) accepted.push(name)
  expect(accepted).toEqual([])
})

test('random bytes behind every signature end soon, and never throw', async () => {
  const seed = Date.now()
  console.log(`seed ${seed}`)
  let state = seed % 2147483647
  const next = (): number => (state = (state * 48271) % 2147483647)
  for (const whole of [png(20, 20), await jpeg(), await webp(), gif()]) {
    for (let round = 0; round < 300; round += 1) {
      const bytes = whole.slice(0, round % 5 === 0 ? next() % whole.length : whole.length)
      for (let n = 0; n < 1 + (round % 7) && bytes.length > 0; n += 1)
        bytes[next() % bytes.length] = next() & 255
      await plainImage(bytes)
    }
  }
})
