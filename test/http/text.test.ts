// Text has one form at every route that takes some: NFC, something visible where it is required, tags and search by
// the folding.
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import type { Project } from '../../src/model/project.ts'
import type { Task } from '../../src/model/task.ts'
import type { User } from '../../src/model/user.ts'
import { callsOf, pointersOf, type Calls } from '../support/tasks.ts'
import { startWorld, testPassword, type World } from '../support/world.ts'

const decomposed = 'Re\u0301union'
const composed = 'Réunion'
const invisible = ['\u200b', '\u00ad\u2060', '\u0001\u0002', ' \u3164 ']

let world: World
let mine: Calls

beforeAll(async () => {
  world = await startWorld()
  mine = callsOf(world, await world.register('Ada'))
})

afterAll(() => world[Symbol.asyncDispose]())

interface List {
  items: Task[]
}

const fields = { title: decomposed, description: decomposed, tags: [decomposed] }
const stored = { title: composed, description: composed, tags: ['réunion'] }

describe('NFC', () => {
  test('every route that writes a task', async () => {
    const { id } = await mine.task(fields)
    const write = async (method: string, path: string, body: object): Promise<Task> => {
      const { status, body: answer } = await mine.call<Task & List>(method, path, body)
      expect([path, status]).toEqual([path, 200])
      return answer.items?.[0] ?? answer
    }
    expect(await mine.get(id)).toMatchObject(stored)
    await write('PATCH', `/api/tasks/${id}`, { title: 'x', description: '', tags: [] })
    expect(await write('PATCH', `/api/tasks/${id}`, fields)).toMatchObject(stored)
    expect(await write('PUT', `/api/tasks/${id}`, { title: 'x' })).toMatchObject({ tags: [] })
    expect(await write('PUT', `/api/tasks/${id}`, fields)).toMatchObject(stored)
    await write('PUT', `/api/tasks/${id}`, { title: 'x' })
    expect(await write('POST', `/api/tasks/${id}/tags`, { tags: [decomposed] })).toMatchObject({
      tags: ['réunion'],
    })
    const bulk = { ids: [id], changes: fields }
    expect(await write('PATCH', '/api/tasks/bulk', bulk)).toMatchObject(stored)
    await write('PUT', `/api/tasks/${id}`, { title: 'x' })
    const update = { operations: [{ op: 'update', id, data: fields }] }
    expect(await write('POST', '/api/tasks/batch', update)).toMatchObject(stored)
    const create = { operations: [{ op: 'create', data: fields }] }
    expect(await write('POST', '/api/tasks/batch', create)).toMatchObject(stored)
  })

  test('projects and people', async () => {
    const { body: made } = await mine.call<Project>('POST', '/api/projects', {
      name: decomposed,
      description: decomposed,
    })
    expect([made.name, made.description]).toEqual([composed, composed])
    const { body: renamed } = await mine.call<Project>('PATCH', `/api/projects/${made.id}`, {
      name: `${decomposed}!`,
      description: `${decomposed}!`,
    })
    expect([renamed.name, renamed.description]).toEqual([`${composed}!`, `${composed}!`])
    const eve = await world.register(decomposed)
    expect(eve.session.user.name).toBe(composed)
    const { body: user } = await callsOf(world, eve).call<User>('PATCH', '/api/users/me', {
      name: `${decomposed}!`,
    })
    expect(user.name).toBe(`${composed}!`)
  })

  test('an address is one in every form: no second account, found by sign-in, members and shares', async () => {
    const local = `andre\u0301-${crypto.randomUUID()}`
    const register = (email: string) =>
      world.call('POST', '/api/auth/register', { body: { email, name: 'André', password: testPassword } })
    const forms = [`${local}@example.com`, ` ${local.normalize('NFC').toUpperCase()}@EXAMPLE.com `]
    const first = await register(forms[0]!)
    expect([first.status, first.body.user.email]).toEqual([201, `${local}@example.com`.normalize('NFC')])
    const project = await mine.project()
    const task = await mine.task({ projectId: project.id })
    for (const [index, email] of forms.entries()) {
      const again = await register(email)
      expect([again.status, again.body.code]).toEqual([409, 'email_taken'])
      const body = { email, password: testPassword }
      expect((await world.call('POST', '/api/auth/login', { body })).status).toBe(200)
      const changed = await mine.refused('PATCH', '/api/users/me', { email, currentPassword: testPassword })
      expect([changed.status, changed.body.code]).toEqual([409, 'email_taken'])
      const share = await mine.refused('POST', `/api/tasks/${task.id}/shares`, { email, permission: 'view' })
      expect(share.status).toBe(index === 0 ? 201 : 409)
    }
    for (const [index, email] of forms.entries()) {
      const member = await mine.refused('POST', `/api/projects/${project.id}/members`, {
        email,
        role: 'viewer',
      })
      expect(member.status).toBe(index === 0 ? 201 : 409)
    }
  })

  test('lengths count the code points of NFC', async () => {
    const { title } = await mine.task({ title: 'e\u0301'.repeat(255) })
    expect(title).toBe('é'.repeat(255))
    const answer = await mine.refused('POST', '/api/tasks', { title: 'e\u0301'.repeat(256) })
    expect([answer.status, pointersOf(answer)]).toEqual([422, ['/title']])
  })
})

describe('white space at the edges', () => {
  const markdown = '    re\u0301sume\u0301 --all\n\nindented code comes first\n'
  const kept = markdown.normalize('NFC')

  test('is content of descriptions and comments, and removed from titles, names and tags', async () => {
    const project = await mine.call<Project>('POST', '/api/projects', {
      name: ' Apollo ',
      description: markdown,
    })
    expect(project.body).toMatchObject({ name: 'Apollo', description: kept })
    const task = await mine.task({ title: '\tPlan\n', description: markdown, tags: [' a '] })
    expect(task).toMatchObject({ title: 'Plan', description: kept, tags: ['a'] })
    const path = `/api/tasks/${task.id}/comments`
    const comment = await mine.call<{ id: string; body: string }>('POST', path, { body: markdown })
    expect(comment.body.body).toBe(kept)
    const [listed] = (await mine.call<{ items: { body: string }[] }>('GET', path)).body.items
    expect(listed!.body).toBe(kept)

    for (const [at, field] of [
      [`/api/projects/${project.body.id}`, 'description'],
      [`/api/tasks/${task.id}`, 'description'],
      [`/api/comments/${comment.body.id}`, 'body'],
    ] as const) {
      const patch = (text: string) => mine.call<Record<string, unknown>>('PATCH', at, { [field]: text })
      const longer = await patch(`${markdown} \n`)
      expect([at, longer.status, longer.body[field]]).toEqual([at, 200, `${kept} \n`])
      expect([at, longer.headers.has('tide-cursor')]).toEqual([at, true]) // a line end more is a change
      const same = await patch(`${kept} \n`)
      expect([at, same.body['version'], same.headers.has('tide-cursor')]).toEqual([
        at,
        longer.body['version'],
        false,
      ])
    }
    const blank = await mine.call<Task>('PATCH', `/api/tasks/${task.id}`, { description: ' \n' })
    expect(blank.body.description).toBe(' \n')
  })

  test('counts where it is content', async () => {
    const longest = `  ${'x'.repeat(9_998)}`
    const task = await mine.task({ description: longest })
    expect(task.description).toBe(longest)
    const refused: [string, string, object, string][] = [
      ['POST', '/api/tasks', { title: 'x', description: `${longest} ` }, '/description'],
      ['POST', '/api/projects', { name: 'x', description: `${longest} ` }, '/description'],
      ['POST', `/api/tasks/${task.id}/comments`, { body: `${longest}\n` }, '/body'],
    ]
    for (const [method, path, body, pointer] of refused) {
      const answer = await mine.refused(method, path, body)
      expect([path, answer.status, pointersOf(answer)]).toEqual([path, 422, [pointer]])
    }
    expect((await mine.task({ title: ` ${'x'.repeat(255)} ` })).title).toBe('x'.repeat(255))
  })

  test('is in the stored answer of a long text that is repeated under its key', async () => {
    const headers = { 'Idempotency-Key': crypto.randomUUID() }
    const description = markdown.repeat(10)
    const create = () => mine.call<Task>('POST', '/api/tasks', { title: 'x', description }, headers)
    const [first, again] = [await create(), await create()]
    expect(first.body.description).toBe(kept.repeat(10))
    expect([again.headers.get('idempotency-replayed'), again.body]).toEqual(['true', first.body])
  })
})

test('Required text has something visible in it', async () => {
  const task = await mine.task()
  const project = await mine.project()
  const comment = await mine.call<{ id: string }>('POST', `/api/tasks/${task.id}/comments`, { body: 'x' })
  for (const text of [...invisible, '', ' \n']) {
    const refused: [string, string, object, string][] = [
      ['POST', '/api/tasks', { title: text }, '/title'],
      ['PATCH', `/api/tasks/${task.id}`, { title: text }, '/title'],
      ['PUT', `/api/tasks/${task.id}`, { title: text }, '/title'],
      ['POST', '/api/tasks', { title: 'x', tags: [text] }, '/tags/0'],
      ['POST', `/api/tasks/${task.id}/tags`, { tags: ['a', text] }, '/tags/1'],
      ['PATCH', '/api/tasks/bulk', { ids: [task.id], changes: { title: text } }, '/changes/title'],
      ['POST', '/api/projects', { name: text }, '/name'],
      ['PATCH', `/api/projects/${project.id}`, { name: text }, '/name'],
      ['PATCH', '/api/users/me', { name: text }, '/name'],
      ['POST', `/api/tasks/${task.id}/comments`, { body: text }, '/body'],
      ['PATCH', `/api/comments/${comment.body.id}`, { body: text }, '/body'],
      ['POST', '/api/auth/register', { name: text, email: 'a@b.c', password: testPassword }, '/name'],
    ]
    for (const [method, path, body, pointer] of refused) {
      const answer = await mine.refused(method, path, body)
      expect([method, path, answer.status, pointersOf(answer)]).toEqual([method, path, 422, [pointer]])
    }
    expect((await mine.task({ description: text })).title).toBe('Write it')
  }
})

describe('tags', () => {
  test('that are dot segments are refused wherever tags are written', async () => {
    const task = await mine.task()
    for (const tag of ['.', '..', ' .. ', '%2e%2E', '．．', '‥']) {
      const refused: [string, string, object][] = [
        ['POST', '/api/tasks', { title: 'x', tags: [tag] }],
        ['PATCH', `/api/tasks/${task.id}`, { tags: [tag] }],
        ['PUT', `/api/tasks/${task.id}`, { title: 'x', tags: [tag] }],
        ['POST', `/api/tasks/${task.id}/tags`, { tags: [tag] }],
        ['PATCH', '/api/tasks/bulk', { ids: [task.id], changes: { tags: [tag] } }],
        ['POST', '/api/tasks/batch', { operations: [{ op: 'create', data: { title: 'x', tags: [tag] } }] }],
      ]
      for (const [method, path, body] of refused)
        expect([method, path, tag, (await mine.refused(method, path, body)).status]).toEqual([
          method,
          path,
          tag,
          422,
        ])
    }
  })

  test('of any other text are removed by their path, in any form and case', async () => {
    const tags = [
      'a/b',
      '../x',
      '100%',
      '%2f',
      'what?',
      '#1',
      'a b',
      '…',
      '🚀',
      'straße',
      'réunion',
      'a;b&c=d+e',
    ]
    const given = tags.map((tag) => ({ straße: 'STRASSE', réunion: decomposed.toUpperCase() })[tag] ?? tag)
    const task = await mine.task({ tags })
    expect(task.tags).toEqual(tags)
    for (const [index, tag] of given.entries()) {
      const path = `/api/tasks/${task.id}/tags/${encodeURIComponent(tag)}`
      expect([tag, (await mine.call('DELETE', path)).status]).toEqual([tag, 204])
      expect((await mine.get(task.id)).tags).toEqual(tags.slice(index + 1))
      expect((await mine.call('DELETE', path)).status).toBe(404)
    }
  })

  test('that are equal by their folding are one, spelled as the first', async () => {
    const task = await mine.task({
      tags: ['Straße', 'strasse', 'STRASSE', 'İstanbul', 'istanbul', 'ﬁle', 'file'],
    })
    expect(task.tags).toEqual(['straße', 'i\u0307stanbul', 'ﬁle'])
    const { body } = await mine.call<Task>('POST', `/api/tasks/${task.id}/tags`, { tags: ['STRASSE', 'new'] })
    expect(body.tags).toEqual([...task.tags, 'new'])
    const same = await mine.call<Task>('POST', `/api/tasks/${task.id}/tags`, { tags: ['FILE'] })
    expect(same.headers.get('tide-cursor')).toBeNull()
  })
})

describe('search and order', () => {
  let own: Calls

  beforeAll(async () => {
    own = callsOf(world, await world.register('Sam'))
  })
  const idsOf = async (query: Record<string, string>): Promise<string[]> => {
    const answer = await own.call<{ items: Task[] }>(
      'GET',
      `/api/tasks?${new URLSearchParams(query).toString()}`,
    )
    expect(answer.status).toBe(200)
    return answer.body.items.map(({ id }) => id)
  }

  test.each([
    ['réunion', ['reunion', 'REUNION', decomposed, 'réu']],
    ['Hauptstraße 5', ['hauptstrasse', 'HAUPTSTRASSE', 'hauptstraße 5', 'hauptstras']],
    ['İzmir', ['izmir', 'İZMİR', 'IZMIR']],
    ['今日は天気がいいですね', ['天気', '今日', '天気 今日']],
    ['ฉันรักประเทศไทย', ['ประเทศไทย']],
    ['🚀🎉 away', ['🚀', '🎉', '🚀away']],
    ['👩‍🚀 ship', ['👩‍🚀', '👩']],
    ['ＦＵＬＬ width', ['full', 'ｆｕｌｌ']],
    ['ﬁle under etc/passwd', ['file', 'passwd', 'etc/pass']],
    ['ΛΟΓΟΣ', ['λόγος', 'λογοσ']],
  ])('%s is found', async (title, searches) => {
    for (const fields of [{ title }, { description: title }]) {
      const { id } = await own.task(fields)
      for (const search of searches) expect([search, await idsOf({ search })]).toEqual([search, [id]])
      await own.call('DELETE', `/api/tasks/${id}`)
    }
  })

  test('a tag is found by filter and search in every form, also after a move and after it changed', async () => {
    const { id } = await own.task({ tags: ['İstanbul'] })
    const project = await own.project()
    const everywhere = async (found: string[]): Promise<void> => {
      for (const word of ['İstanbul', 'istanbul', 'ISTANBUL', 'I\u0307stanbul']) {
        expect([word, await idsOf({ tag: word })]).toEqual([word, found])
        expect([word, await idsOf({ search: word })]).toEqual([word, found])
      }
    }
    await everywhere([id])
    expect(await idsOf({ tag: 'istanb' })).toEqual([])
    expect((await own.call('POST', `/api/tasks/${id}/move`, { projectId: project.id })).status).toBe(200)
    await everywhere([id])
    expect(await idsOf({ projectId: project.id, search: 'istan' })).toEqual([id])
    await own.call('PATCH', `/api/tasks/${id}`, { status: 'done' })
    await everywhere([id])
    await own.call('PATCH', `/api/tasks/${id}`, { tags: [] })
    await everywhere([])
  })

  test('only the first eight words of a search count, and one word is needed', async () => {
    const { id } = await own.task({ title: 'q1 q2 q3 q4 q5 q6 q7 q8' })
    expect(await idsOf({ search: 'q1 q2 q3 q4 q5 q6 q7 q8 q9 q10' })).toEqual([id])
    expect(await idsOf({ search: 'q1 q9' })).toEqual([])
    for (const search of ['—', '!?', '\u200b', '\u0301']) {
      const answer = await own.refused('GET', `/api/tasks?search=${encodeURIComponent(search)}`)
      expect([search, answer.status, pointersOf(answer)]).toEqual([search, 422, ['/search']])
    }
  })

  test('titles are ordered by their folding, whatever the page', async () => {
    const project = await own.project()
    for (const title of [
      'Zebra',
      'Äpfel',
      'apfel',
      'A\u0308rger',
      'ﬁn',
      'Fin2',
      'ΟΔΟΣ',
      'οδόσα',
      'strasse',
      'Straße',
    ])
      await own.task({ title, projectId: project.id })
    const titles: string[] = []
    for (let cursor: string | null = ''; cursor !== null;) {
      const query = new URLSearchParams({
        projectId: project.id,
        sort: 'title',
        limit: '3',
        ...(cursor && { cursor }),
      })
      const { body }: { body: { items: Task[]; nextCursor: string | null } } = await own.call(
        'GET',
        `/api/tasks?${query.toString()}`,
      )
      titles.push(...body.items.map(({ title }) => title))
      cursor = body.nextCursor
    }
    expect(titles).toEqual([
      'Äpfel',
      'apfel',
      'Ärger',
      'ﬁn',
      'Fin2',
      'strasse',
      'Straße',
      'Zebra',
      'ΟΔΟΣ',
      'οδόσα',
    ])
  })
})
