-- Takes the rows of `seed`, in the order of its columns.
COPY seed FROM STDIN
