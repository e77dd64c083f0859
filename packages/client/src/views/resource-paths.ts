// Paths of the resources that views read one by one.
import { path, type Path } from '../http/path.ts'

export const taskPath = (id: string): Path => path`/api/tasks/${id}`

export const projectPath = (id: string): Path => path`/api/projects/${id}`
