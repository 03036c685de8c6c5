# SPDX-License-Identifier: GPL-2.0-or-later
# fish completion of execwatchctl(1).

function __execwatchctl_at --description 'whether argument N of these commands is being completed'
    set --local words (commandline --tokenize --cut-at-cursor --current-process)
    test (count $words) -eq (math $argv[1] + 1); and contains -- $words[2] $argv[2..]
end

function __execwatchctl_units
    systemctl $argv list-units --all --full --no-legend --plain 2>/dev/null | string split --fields 1 ' '
end

complete -c execwatchctl -f
complete -c execwatchctl -s h -l help -d 'Show help'
complete -c execwatchctl -n __fish_use_subcommand -l version -d 'Show the version'

complete -c execwatchctl -n __fish_use_subcommand -a status -d 'Show what the daemon does and whether it is well'
complete -c execwatchctl -n __fish_use_subcommand -a set -d 'Set a user\'s message'
complete -c execwatchctl -n __fish_use_subcommand -a unset -d 'Forget a user\'s message'
complete -c execwatchctl -n __fish_use_subcommand -a list -d 'List users\' messages, actions and limits'
complete -c execwatchctl -n __fish_use_subcommand -a action -d 'Record a user\'s executions, or ignore them'
complete -c execwatchctl -n __fish_use_subcommand -a limit -d 'Record at most so many of a user\'s executions'
complete -c execwatchctl -n __fish_use_subcommand -a default -d 'Show or set what users without their own get'
complete -c execwatchctl -n __fish_use_subcommand -a top -d 'Show who executes what how often'
complete -c execwatchctl -n __fish_use_subcommand -a show -d 'Show an execution whole'
complete -c execwatchctl -n __fish_use_subcommand -a log -d 'Show recorded executions'

complete -c execwatchctl -n '__execwatchctl_at 1 set unset action limit' -a '(__fish_complete_users)'
complete -c execwatchctl -n '__execwatchctl_at 1 show' -a '(__fish_complete_pids)'
complete -c execwatchctl -n '__execwatchctl_at 2 action' -a 'record ignore default'
complete -c execwatchctl -n '__execwatchctl_at 2 limit' -a 'off default'

set --local seen __fish_seen_subcommand_from
complete -c execwatchctl -n "$seen status list default show top" -l json -d 'Print JSON'
complete -c execwatchctl -n "$seen status" -l interval -x -d 'Measure for so many seconds'
complete -c execwatchctl -n "$seen status" -l max-lost -x -d 'Tolerate so many lost'
complete -c execwatchctl -n "$seen default" -l message -x -d 'The message'
complete -c execwatchctl -n "$seen default" -l action -x -a 'record ignore' -d 'Whether they are recorded'

complete -c execwatchctl -n "$seen log" -s u -l unit -x -a '(__execwatchctl_units --system)' -d 'In this system unit'
complete -c execwatchctl -n "$seen log" -l user-unit -x -a '(__execwatchctl_units --user)' -d 'In this user unit'
complete -c execwatchctl -n "$seen log" -l user -x -a '(__fish_complete_users)' -d 'By this user'
complete -c execwatchctl -n "$seen log" -l comm -x -d 'By a program of this name, or of it'
complete -c execwatchctl -n "$seen log" -l exe -r -F -d 'Of this file'
complete -c execwatchctl -n "$seen log" -s g -l grep -x -d 'Whose arguments match'
complete -c execwatchctl -n "$seen log" -l container -x -d 'In this container'
complete -c execwatchctl -n "$seen log" -s p -l priority -x -a 'emerg alert crit err warning notice info debug' -d 'Of this priority or a higher one'
complete -c execwatchctl -n "$seen log" -l host -x -d 'On this host'
complete -c execwatchctl -n "$seen log" -l session -x -d 'In this audit session'
complete -c execwatchctl -n "$seen log" -l pid -x -a '(__fish_complete_pids)' -d 'By this process'
complete -c execwatchctl -n "$seen log" -l failed -d 'Only those that failed'
complete -c execwatchctl -n "$seen log" -l slow -x -d 'Only ends of processes that ran so long'
complete -c execwatchctl -n "$seen log top" -s S -l since -x -a 'today yesterday now' -d 'Not before'
complete -c execwatchctl -n "$seen log" -s U -l until -x -a 'today yesterday now' -d 'Not after'
complete -c execwatchctl -n "$seen log" -s b -l boot -d 'This boot, or one by id or offset'
complete -c execwatchctl -n "$seen log" -s n -l lines -x -d 'The last N'
complete -c execwatchctl -n "$seen top" -s n -l lines -x -d 'Only the first N'
complete -c execwatchctl -n "$seen log" -s r -l reverse -d 'The newest first'
complete -c execwatchctl -n "$seen log" -s f -l follow -d 'Go on with new ones'
complete -c execwatchctl -n "$seen log" -s o -l output -x -a 'short verbose json json-pretty ecs otel cat argv' -d 'How to print them'
complete -c execwatchctl -n "$seen show" -s o -l output -x -a 'short json json-pretty' -d 'How to print it'
complete -c execwatchctl -n "$seen log" -l json -d 'Print JSON'
complete -c execwatchctl -n "$seen log show" -s l -l full -d 'Don\'t cut lines'
complete -c execwatchctl -n "$seen log show" -l no-pager -d 'Print to the terminal itself'
complete -c execwatchctl -n "$seen log" -l tree -d 'Print processes as a tree'
complete -c execwatchctl -n "$seen log show top" -s D -l directory -x -a '(__fish_complete_directories)' -d 'Journal files in DIR'
complete -c execwatchctl -n "$seen log show top" -l namespace -x -d 'Read this journal namespace only'
complete -c execwatchctl -n "$seen log show top" -l any-sender -d 'Believe entries whoever wrote them'

complete -c execwatchctl -n "$seen top" -l by -x -a 'user unit command' -d 'What to count by'
complete -c execwatchctl -n "$seen top" -l sort -x -a 'rate execs name' -d 'Sort by this column'
complete -c execwatchctl -n "$seen top" -l interval -x -d 'Renew every so many seconds'
complete -c execwatchctl -n "$seen top" -l once -d 'Print it once'
