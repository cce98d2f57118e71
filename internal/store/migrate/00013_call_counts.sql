-- How many calls there are of each kind in each hour, so that a page and the number of all pages cost no walk over the calls.

-- +goose Up
create table call_counts (
    project text not null,
    package text not null,
    name    text not null,
    hour    bigint not null,
    source  text not null,
    async   integer not null,
    state   integer not null,
    n       bigint not null,
    primary key (project, package, name, hour, source, async, state)
);

insert into call_counts (project, package, name, hour, source, async, state, n)
    select project, package, name, created_us / 3600000000, source, async, state, count(*) from calls group by 1, 2, 3, 4, 5, 6, 7;

drop index calls_listed;
create index calls_listed on calls (project, package, name, created_us, number);

-- +goose Down
drop index calls_listed;
create index calls_listed on calls (project, package, name, number);
drop table call_counts;
