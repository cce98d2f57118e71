-- Packages that functions share.

-- +goose Up
create table dependencies (
    id          text primary key,
    project     text not null,
    seq         bigint not null,
    name        text not null,
    name_folded text not null,
    public      boolean not null,
    newest      bigint not null, -- of the versions that are there
    last        bigint not null, -- that was ever given
    created_us  bigint not null,
    unique (project, name)
);

create table dependency_versions (
    id          text primary key,
    dependency  text not null,
    number      bigint not null,
    runtime     text not null,
    description text not null,
    kind        text not null,
    filename    text not null,
    url         text not null,
    etag        text not null,
    digest      text not null,
    size        bigint not null,
    created_us  bigint not null,
    unique (dependency, number)
);

create index dependency_versions_digest on dependency_versions (digest);

-- Where to look for the functions that name a version. A row may be left of one that did: the function itself tells.
create table dependency_uses (
    version_id text not null,
    project    text not null,
    package    text not null,
    name       text not null,
    version    text not null,
    primary key (version_id, project, package, name, version)
);

create index dependency_uses_of_function on dependency_uses (project, package, name);

-- +goose Down
drop table dependency_uses;
drop table dependency_versions;
drop table dependencies;
