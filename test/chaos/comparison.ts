// What a control found: the count that shows its defect, in the variant and in the same run of the product.

export interface Comparison {
  /** Of the variant. */
  count: number
  /** Of the product; null where it was not run. */
  baseline: number | null
  isDetected: boolean
  /** Why it ended without a count. */
  error?: string
}

/** What the product shows too is no detection, and neither is an error in one of the runs. */
export const compared = async (
  countVariant: () => Promise<number>,
  countProduct: () => Promise<number>,
): Promise<Comparison> => {
  try {
    const count = await countVariant()
    const baseline = await countProduct()
    return { count, baseline, isDetected: count > 0 && baseline === 0 }
  } catch (error) {
    return { count: 0, baseline: null, isDetected: false, error: String(error).slice(0, 300) }
  }
}

/** Why a control was not detected, for a line of the report. */
export const reasonOf = ({ error, baseline }: Partial<Comparison>): string =>
  error ? `: ${error}` : baseline ? `: the product has ${baseline} as well` : ''
