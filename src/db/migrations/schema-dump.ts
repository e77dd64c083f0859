// sql/schema.sql, written from the catalog because no pg_dump of the right major can be counted on. The same
// schema gives the same text, and the text makes the same schema; what the program makes by itself at run time
// (daily partitions, the record of migrations) is left out.
import type { Queryable } from '../client.ts'

const header = `-- Generated from the catalog by \`migrate dump\`; the migrations beside it are the source. Do not edit.

set check_function_bodies = false;`

/** Reads the schema `public` on a session whose search_path is the default. */
export const dumpSchema = async (sql: Queryable): Promise<string> => {
  const functions = await readFunctions(sql)
  const parts = [
    [header],
    await readExtensions(sql),
    await readTypes(sql),
    functions.filter(({ readsTables }) => !readsTables).map(({ text }) => text),
    await readSequences(sql),
    await readTables(sql),
    await readPartitions(sql),
    await readIndexes(sql),
    await readForeignKeys(sql),
    await readViews(sql),
    functions.filter(({ readsTables }) => readsTables).map(({ text }) => text),
    await readTriggers(sql),
  ]
  return `${parts.flat().join('\n\n')}\n`
}

const texts = async (rows: Promise<{ text: string }[]>): Promise<string[]> =>
  (await rows).map(({ text }) => text)

/** Of an extension, so that `create extension` makes it. */
const isForeign = (sql: Queryable, oid: string) => sql`
  exists (select from pg_depend d where d.objid = ${sql(oid)} and d.deptype = 'e')`

/** Tables of ours, and neither the record of migrations nor partitions. */
const isTable = (sql: Queryable) => sql`
  c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition
  and c.relname <> 'schema_migrations' and not ${isForeign(sql, 'c.oid')}`

const readExtensions = (sql: Queryable): Promise<string[]> =>
  texts(sql`
    select format('create extension if not exists %I;', extname) as text from pg_extension
    where extname <> 'plpgsql' order by extname`)

const readTypes = (sql: Queryable): Promise<string[]> =>
  texts(sql`
    select case t.typtype
      when 'e' then format('create type %I as enum (%s);', t.typname, (
        select string_agg(quote_literal(enumlabel), ', ' order by enumsortorder) from pg_enum where enumtypid = t.oid))
      else format('create domain %I as %s%s%s%s;', t.typname, format_type(t.typbasetype, t.typtypmod),
        ' default ' || t.typdefault, case when t.typnotnull then ' not null' end, (
        select string_agg(format(' constraint %I %s', conname, pg_get_constraintdef(oid)), '' order by conname)
        from pg_constraint where contypid = t.oid and contype = 'c'))
      end as text
    from pg_type t
    where t.typnamespace = 'public'::regnamespace and t.typtype in ('e', 'd') and not ${isForeign(sql, 't.oid')}
    order by t.typtype desc, t.typname`)

/** Those whose body names a table can only be made after it; those that columns use must be made before. */
const readFunctions = (sql: Queryable): Promise<{ text: string; readsTables: boolean }[]> => sql<
  { text: string; readsTables: boolean }[]
>`
  select rtrim(pg_get_functiondef(p.oid), E'\\n') || ';' as text,
    exists (
      select from pg_depend d left join pg_type t on d.refclassid = 'pg_type'::regclass and t.oid = d.refobjid
      where d.classid = 'pg_proc'::regclass and d.objid = p.oid
        and (d.refclassid = 'pg_class'::regclass or t.typrelid <> 0)) as "readsTables"
  from pg_proc p
  where p.pronamespace = 'public'::regnamespace and p.prokind in ('f', 'p') and not ${isForeign(sql, 'p.oid')}
  order by p.oid` // as they were created: a body may call an earlier one

/** Those of identity columns come with their column. */
const readSequences = (sql: Queryable): Promise<string[]> =>
  texts(sql`
    select format('create sequence %I as %s increment %s minvalue %s maxvalue %s start %s cache %s%s;', c.relname,
      format_type(s.seqtypid, null), s.seqincrement, s.seqmin, s.seqmax, s.seqstart, s.seqcache,
      case when s.seqcycle then ' cycle' end) as text
    from pg_sequence s join pg_class c on c.oid = s.seqrelid
    where c.relnamespace = 'public'::regnamespace and not ${isForeign(sql, 'c.oid')}
      and not exists (select from pg_depend d where d.objid = c.oid and d.deptype = 'i')
    order by c.relname`)

const readTables = (sql: Queryable): Promise<string[]> =>
  texts(sql`
    select format(E'create %stable %I (\\n%s\\n)%s%s;',
      case when c.relpersistence = 'u' then 'unlogged ' end,
      c.relname,
      (select string_agg('  ' || line, E',\\n' order by kind, place, line collate "C") from (
        select 1 as kind, a.attnum as place, format('%I %s%s%s%s', a.attname, format_type(a.atttypid, a.atttypmod),
          case when a.attcollation <> t.typcollation then (
            select format(' collate %I', collname) from pg_collation where oid = a.attcollation) end,
          case when a.attnotnull then ' not null' end,
          case
            when a.attidentity = 'a' then ' generated always as identity'
            when a.attidentity = 'd' then ' generated by default as identity'
            when a.attgenerated = 's' then format(' generated always as (%s) stored', pg_get_expr(d.adbin, d.adrelid))
            when a.attgenerated = 'v' then format(' generated always as (%s) virtual', pg_get_expr(d.adbin, d.adrelid))
            when d.oid is not null then ' default ' || pg_get_expr(d.adbin, d.adrelid)
          end) as line
        from pg_attribute a join pg_type t on t.oid = a.atttypid
        left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
        where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
        union all
        select case contype when 'p' then 2 when 'u' then 3 else 4 end, 0,
          format('constraint %I %s', conname, pg_get_constraintdef(oid, true))
        from pg_constraint where conrelid = c.oid and contype in ('p', 'u', 'c', 'x')) as lines),
      case when c.relkind = 'p' then ' partition by ' || pg_get_partkeydef(c.oid) end,
      (select format(' with (%s)', string_agg(option, ', ' order by option collate "C")) from unnest(c.reloptions) as option
        having count(*) > 0)) as text
    from pg_class c where ${isTable(sql)}
    order by c.relname`)

/** The default partition; those with bounds are made ahead at run time. */
const readPartitions = (sql: Queryable): Promise<string[]> =>
  texts(sql`
    select format('create table %I partition of %I default;', c.relname, i.inhparent::regclass) as text
    from pg_class c join pg_inherits i on i.inhrelid = c.oid
    where c.relnamespace = 'public'::regnamespace and c.relispartition and c.relkind in ('r', 'p')
      and pg_get_expr(c.relpartbound, c.oid) = 'DEFAULT'
    order by c.relname`)

/** Without those behind constraints and those a partition has from its table. ONLY would leave out the partitions. */
const readIndexes = (sql: Queryable): Promise<string[]> =>
  texts(sql`
    select replace(pg_get_indexdef(i.indexrelid, 0, true), ' ON ONLY ', ' ON ') || ';' as text
    from pg_index i join pg_class c on c.oid = i.indrelid join pg_class x on x.oid = i.indexrelid
    where ${isTable(sql)} and not exists (select from pg_constraint where conindid = i.indexrelid and contype in ('p', 'u', 'x'))
    order by c.relname, x.relname`)

const readForeignKeys = (sql: Queryable): Promise<string[]> =>
  texts(sql`
    select format(E'alter table %I\\n  add constraint %I %s;', c.relname, k.conname, pg_get_constraintdef(k.oid, true)) as text
    from pg_constraint k join pg_class c on c.oid = k.conrelid
    where ${isTable(sql)} and k.contype = 'f' and k.conparentid = 0
    order by c.relname, k.conname`)

/** In the order they were made, which is the order they may use each other in. */
const readViews = (sql: Queryable): Promise<string[]> =>
  texts(sql`
    select format(E'create %sview %I as\\n%s', case when c.relkind = 'm' then 'materialized ' end, c.relname,
      pg_get_viewdef(c.oid, true)) as text
    from pg_class c
    where c.relnamespace = 'public'::regnamespace and c.relkind in ('v', 'm') and not ${isForeign(sql, 'c.oid')}
    order by c.oid`)

const readTriggers = (sql: Queryable): Promise<string[]> =>
  texts(sql`
    select pg_get_triggerdef(t.oid, true) || ';' as text
    from pg_trigger t join pg_class c on c.oid = t.tgrelid
    where ${isTable(sql)} and not t.tgisinternal
    order by c.relname, t.tgname`)
