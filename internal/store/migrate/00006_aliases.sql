-- +goose Up

-- Names that lead to versions of functions. What no query looks into stands in doc.
create table aliases (
    project     text not null,
    package     text not null,
    name        text not null,
    alias       text not null,
    version     text not null,
    created_us  bigint not null,
    modified_us bigint not null,
    doc         text not null,
    primary key (project, package, name, alias)
);

-- 1 where a version may have reserved instances, so that they are found among very many functions.
alter table functions add column reserves integer not null default 0;
update functions set reserves = 1 where doc like '%"reserved":%';
-- With all that a listing looks at, so that it reads the rows of its page only.
drop index functions_listed;
create index functions_listed on functions (project, seq, package, name_folded) where version = 'latest';
create index functions_reserving on functions (project, seq) where reserves = 1;

-- +goose Down
drop index functions_listed;
create index functions_listed on functions (project, seq) where version = 'latest';
drop index functions_reserving;
alter table functions drop column reserves;
drop table aliases;
