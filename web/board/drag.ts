// What a drag of a card carries: a type of its own, so that texts and files from elsewhere are not taken for tasks.

export const taskType = 'application/x-tasktide-task'

export const startDrag = ({ dataTransfer }: DragEvent, id: string): void => {
  if (!dataTransfer) return
  dataTransfer.setData(taskType, id)
  dataTransfer.effectAllowed = 'move'
}

/** The id of the dragged task; null where something else is dragged. */
export const taskIn = ({ dataTransfer }: DragEvent): string | null => dataTransfer?.getData(taskType) || null
