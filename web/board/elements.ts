// Elements of the page, made without HTML: what people wrote becomes text and nothing else.

type Child = Node | string | false | null

interface Properties {
  class?: string
  [name: string]: unknown
}

const isAttribute = (name: string): boolean => name.includes('-') || name === 'class' || name === 'role'

/** @param properties of the element; `on…` are listeners, `class`, `role`, `aria-…` and `data-…` attributes. */
export const h = <K extends keyof HTMLElementTagNameMap>(
  tag: K,
  properties: Properties = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] => {
  const element = document.createElement(tag)
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === false) continue
    if (isAttribute(name) && typeof value === 'string') element.setAttribute(name, value)
    else Reflect.set(element, name, value)
  }
  element.append(...children.filter((child) => child !== false && child !== null))
  return element
}

/** Replaces what the page shows. */
export const showPage = (...content: Node[]): void =>
  document.querySelector('#page')!.replaceChildren(...content)

let arranging = 0

/** Whether elements are being moved: losing the focus means nothing then. */
export const isArranging = (): boolean => arranging > 0

/** Runs `work`, which moves elements, and gives the focus back to what had it. */
export const arrange = (work: () => void): void => {
  const { activeElement } = document
  arranging += 1
  try {
    work()
  } finally {
    if (
      activeElement instanceof HTMLElement &&
      activeElement.isConnected &&
      activeElement !== document.activeElement
    )
      activeElement.focus()
    arranging -= 1
  }
}

/** Puts `children` in the place of what the element has, and leaves those that stay where they are. */
export const setChildren = (parent: Element, children: readonly Element[]): void => {
  const wanted = new Set<Element>(children)
  const gone = Array.from(parent.children).filter((child) => !wanted.has(child))
  for (const child of gone) child.remove()
  for (const [index, child] of children.entries())
    if (parent.children[index] !== child) parent.insertBefore(child, parent.children[index] ?? null)
}

/** Shows a message that goes away by itself; screen readers read it. */
export const notify = (text: string): void => {
  const shown = h('p', {}, text)
  document.querySelector('#messages')!.append(shown)
  setTimeout(() => shown.remove(), 8_000)
}

export const textOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))
