-- How the functions of a project are kept apart, where its operator has said so. As faas.ProjectWalls.

-- +goose Up

create table project_walls (
    project         text primary key,
    egress          text not null,
    egress_fixed    integer not null,
    isolation       text not null,
    isolation_fixed integer not null
);

-- +goose Down
drop table project_walls;
