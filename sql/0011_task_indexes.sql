-- no transaction
-- phase: expand
-- Three indexes that only the previous version's searches, its filter by tags and its order of titles read. Each row that
-- is inserted, and each update of any field (`updated_at` is indexed, so that no update is heap-only), wrote an entry in
-- all three, two of them GIN. The previous version answers the same without them, more slowly. `document` stays: tasks
-- without words are searched by it. Each statement waits for transactions that are older and blocks nothing meanwhile.
drop index concurrently if exists tasks_document_idx;

drop index concurrently if exists tasks_tags_idx;

drop index concurrently if exists tasks_project_title_idx;
