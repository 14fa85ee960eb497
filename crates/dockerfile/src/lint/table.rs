//! What each rule finds, and what it does not: Dockerfiles with the lines and the texts of their findings.

type Found = &'static [(usize, &'static str)];
type Case = (&'static str, &'static [(&'static str, Found)], &'static [&'static str]);

/// Rule, Dockerfiles with what it finds in them, Dockerfiles in which it finds nothing. `secret.txt` and `*.log` are ignored.
pub(super) const TABLE: &[Case] = &[
    (
        "StageNameCasing",
        &[("# c\nFROM a AS BuildIt", &[(2, "Stage name 'BuildIt' should be lowercase")])],
        &["FROM a AS b-1", "FROM A"],
    ),
    (
        "FromAsCasing",
        &[
            ("FROM a as b", &[(1, "'as' and 'FROM' keywords' casing do not match")]),
            ("from a AS b", &[(1, "'AS' and 'from' keywords' casing do not match")]),
            ("FROM a As b", &[(1, "'As' and 'FROM' keywords' casing do not match")]),
        ],
        &["FROM a AS b", "from a as b", "From a as b"],
    ),
    (
        "NoEmptyContinuation",
        &[
            ("FROM a\nCOPY x \\\n\n  y\nRUN z", &[(4, "Empty continuation line")]),
            ("FROM a\nCOPY x \\\n\n  \u{e4}\nRUN z", &[(4, "Empty continuation line")]),
            ("FROM a\nCOPY x \\\n\n\n# c\n  y \\\n\n z", &[(8, "Empty continuation line")]),
        ],
        &["FROM a\nRUN x \\\n# c\n y", "FROM a\nRUN <<E\n\nE\n"],
    ),
    (
        "ConsistentInstructionCasing",
        &[
            ("FROM a\nrun x\nRUN y", &[(2, "Command 'run' should match the case of the command majority (uppercase)")]),
            ("from a\nRUN x\nrun y", &[(2, "Command 'RUN' should match the case of the command majority (lowercase)")]),
            ("FROM a\nRun x", &[(2, "Command 'Run' should match the case of the command majority (uppercase)")]),
            ("FROM a\nrun x", &[(2, "Command 'run' should match the case of the command majority (uppercase)")]),
        ],
        &["from a\nrun x", "FROM a\nRUN x", "arg x\narg y\nFROM a", "FROM a\nRUN <<E\nrun\nE"],
    ),
    (
        "DuplicateStageName",
        &[
            ("FROM a AS b\nFROM c AS b", &[(2, "Duplicate stage name \"b\", stage names should be unique")]),
            ("FROM a AS b\nFROM c AS B", &[(2, "Duplicate stage name \"b\", stage names should be unique")]),
        ],
        &["FROM a AS b\nFROM b AS c\nFROM b"],
    ),
    (
        "ReservedStageName",
        &[(
            "FROM a AS scratch\nFROM a AS Context",
            &[
                (1, "Stage name should not use the same name as reserved stage \"scratch\""),
                (2, "Stage name should not use the same name as reserved stage \"context\""),
            ],
        )],
        &["FROM scratch AS b\nFROM scratch"],
    ),
    (
        "JSONArgsRecommended",
        &[
            (
                "FROM a\nCMD x",
                &[(2, "JSON arguments recommended for CMD to prevent unintended behavior related to OS signals")],
            ),
            (
                "from a\nentrypoint [x]",
                &[(
                    2,
                    "JSON arguments recommended for entrypoint to prevent unintended behavior related to OS signals",
                )],
            ),
        ],
        &[
            "FROM a\nCMD [\"x\"]\nENTRYPOINT []",
            "FROM a AS b\nSHELL [\"/s\"]\nFROM b\nCMD x",
            "FROM a\nHEALTHCHECK CMD x",
        ],
    ),
    (
        "MaintainerDeprecated",
        &[("FROM a\nMAINTAINER x", &[(2, "Maintainer instruction is deprecated in favor of using label")])],
        &["FROM a\nLABEL maintainer=x"],
    ),
    (
        "UndefinedArgInFrom",
        &[
            ("ARG tag=1\nFROM a:${tag}${version} AS b", &[(2, "FROM argument 'version' is not declared")]),
            (
                "FROM --platform=$BULIDPLATFORM a",
                &[(1, "FROM argument 'BULIDPLATFORM' is not declared (did you mean BUILDPLATFORM?)")],
            ),
            (
                "ARG MY_ARCH=arm64\nFROM --platform=linux/${MYARCH} a",
                &[(2, "FROM argument 'MYARCH' is not declared (did you mean MY_ARCH?)")],
            ),
            ("FROM a:${x:-1}", &[(1, "FROM argument 'x' is not declared")]),
        ],
        &[
            "ARG x=a\nFROM $x",
            "FROM --platform=$BUILDPLATFORM a",
            "ARG x\nFROM a$x",
            "ARG x\nFROM a:${x:-1}",
            "FROM a:'$x'",
        ],
    ),
    (
        "WorkdirRelativePath",
        &[
            (
                "FROM a\nWORKDIR app/\nWORKDIR more",
                &[(2, "Relative workdir \"app/\" can have unexpected results if the base image changes")],
            ),
            (
                "FROM a\nENV D=app\nWORKDIR $D",
                &[(3, "Relative workdir \"app\" can have unexpected results if the base image changes")],
            ),
        ],
        &[
            "FROM a AS b\nWORKDIR /x\nFROM b\nWORKDIR y",
            "FROM a\nWORKDIR \"/x y\"",
            "FROM a\nWORKDIR $PATH",
            "FROM a\nENV D=/x\nWORKDIR ${D}\nWORKDIR y",
        ],
    ),
    (
        "UndefinedVar",
        &[
            ("FROM a\nCOPY $x /\nARG x=1", &[(2, "Usage of undefined variable '$x'")]),
            (
                "FROM a\nARG DIR_BIN=b\nARG DIR_ASSETS=a\nCOPY $DIR_ASSET /",
                &[(4, "Usage of undefined variable '$DIR_ASSET' (did you mean $DIR_ASSETS?)")],
            ),
            ("FROM scratch\nENV PATH=$PAHT:/x", &[(2, "Usage of undefined variable '$PAHT' (did you mean $PATH?)")]),
            ("FROM a\nARG VERSION=$foo", &[(2, "Usage of undefined variable '$foo'")]),
            (
                "FROM a\nCOPY ${q:-z} ${r+z} ${s##*.}/ /",
                &[
                    (2, "Usage of undefined variable '$q'"),
                    (2, "Usage of undefined variable '$r'"),
                    (2, "Usage of undefined variable '$s'"),
                ],
            ),
            ("FROM a\nCOPY <<E /x\n$y \\$z\nE", &[(2, "Usage of undefined variable '$y'")]),
            ("FROM a\nRUN --mount=type=cache,target=/$y echo $z", &[(2, "Usage of undefined variable '$y'")]),
            ("ARG x=1\nFROM a\nUSER $x", &[(3, "Usage of undefined variable '$x'")]),
            ("FROM a\nENV x=1 y=$x", &[(2, "Usage of undefined variable '$x'")]),
            (
                "FROM a\nCOPY --chown=$u a /$1",
                &[(2, "Usage of undefined variable '$1'"), (2, "Usage of undefined variable '$u'")],
            ),
        ],
        &[
            "FROM a\nARG x\nCOPY f$x /",
            "FROM a AS b\nARG x=f\nFROM b\nCOPY $x /",
            "FROM a\nRUN echo $x\nCMD echo $x\nENTRYPOINT echo $x\nSHELL [\"$x\"]\nONBUILD COPY $x /",
            "FROM a\nCOPY '$x' \\$y /\nENV P=$PATH\nEXPOSE $x\nMAINTAINER $x\nHEALTHCHECK CMD $x",
            "FROM a\nARG x=1 y=$x\nENV a=1\nENV b=$a",
            "FROM a\nCOPY --exclude=$x --exclude=\\$y a /",
            "FROM a\nCOPY <<'E' /x\n$y\nE",
            "ARG x=1\nFROM a\nARG x\nUSER $x",
        ],
    ),
    (
        "MultipleInstructionsDisallowed",
        &[(
            "FROM a\nENTRYPOINT [\"x\"]\nCMD [\"x\"]\nHEALTHCHECK CMD x\nRUN y\nENTRYPOINT [\"y\"]\ncmd [\"y\"]\nHEALTHCHECK NONE",
            &[
                (
                    2,
                    "Multiple ENTRYPOINT instructions should not be used in the same stage because only the last one will be used",
                ),
                (
                    3,
                    "Multiple cmd instructions should not be used in the same stage because only the last one will be used",
                ),
                (
                    4,
                    "Multiple HEALTHCHECK instructions should not be used in the same stage because only the last one will be used",
                ),
            ],
        )],
        &["FROM a AS b\nCMD [\"x\"]\nFROM b\nCMD [\"y\"]", "FROM a\nUSER x\nUSER y"],
    ),
    (
        "LegacyKeyValueFormat",
        &[(
            "FROM a\nENV k v\nlabel k v w=x",
            &[
                (2, "\"ENV key=value\" should be used instead of legacy \"ENV key value\" format"),
                (3, "\"label key=value\" should be used instead of legacy \"label key value\" format"),
            ],
        )],
        &["FROM a\nENV k=v\nLABEL \"a b\"=c"],
    ),
    (
        "RedundantTargetPlatform",
        &[
            (
                "FROM --platform=$TARGETPLATFORM a",
                &[(
                    1,
                    "Setting platform to predefined $TARGETPLATFORM in FROM is redundant as this is the default behavior",
                )],
            ),
            (
                "FROM --platform=${TARGETPLATFORM:-x} a",
                &[(
                    1,
                    "Setting platform to predefined ${TARGETPLATFORM:-x} in FROM is redundant as this is the default behavior",
                )],
            ),
        ],
        &["FROM --platform=$BUILDPLATFORM a", "FROM --platform=${TARGETPLATFORM}$TARGETVARIANT a", "FROM a"],
    ),
    (
        "SecretsUsedInArgOrEnv",
        &[(
            "FROM a\nARG SECRET_PASSPHRASE\nENV SUPER_Secret=x password=y z=1\nENV git_key=\nARG auth=1 b",
            &[
                (2, "Do not use ARG or ENV instructions for sensitive data (ARG \"SECRET_PASSPHRASE\")"),
                (3, "Do not use ARG or ENV instructions for sensitive data (ENV \"SUPER_Secret\")"),
                (3, "Do not use ARG or ENV instructions for sensitive data (ENV \"password\")"),
                (4, "Do not use ARG or ENV instructions for sensitive data (ENV \"git_key\")"),
                (5, "Do not use ARG or ENV instructions for sensitive data (ARG \"auth\")"),
            ],
        )],
        &[
            "ARG TOKEN\nFROM a",
            "FROM a\nENV PUBLIC_KEY=x MONKEY=y sunflower=z\nARG public_token",
            "FROM a\nARG SECRET_FILE\nENV password_file=x secret_File=y AUTH_MODULE_VERSION=1",
        ],
    ),
    (
        "InvalidDefaultArgInFrom",
        &[
            ("ARG V\nFROM a:$V", &[(2, "Default value for ARG a:$V results in empty or invalid base image name")]),
            ("ARG I\nFROM $I", &[(2, "Default value for ARG $I results in empty or invalid base image name")]),
            (
                "ARG S=\"x:\"\nFROM a${S}",
                &[(2, "Default value for ARG a${S} results in empty or invalid base image name")],
            ),
        ],
        &["ARG V=\"1\"\nFROM a:${V}", "ARG S\nFROM a:b$S", "ARG V\nFROM a:${V:-1}", "FROM $TARGETARCH/a:1"],
    ),
    (
        "FromPlatformFlagConstDisallowed",
        &[
            (
                "FROM --platform=linux/amd64 a",
                &[(1, "FROM --platform flag should not use constant value \"linux/amd64\"")],
            ),
            (
                "FROM --platform=linux/arm/v7 a AS v7",
                &[(1, "FROM --platform flag should not use constant value \"linux/arm/v7\"")],
            ),
        ],
        &[
            "FROM --platform=linux/amd64 a AS my_amd64_stage",
            "FROM --platform=linux/x86_64 a AS b-amd64",
            "FROM --platform=linux/amd64 a AS linux",
            "FROM --platform=linux/${TARGETARCH} a",
            "FROM --platform=what a",
            "FROM --platform= a",
        ],
    ),
    (
        "CopyIgnoredFile",
        &[(
            "FROM a\nCOPY ./secret.txt /\nADD x.log b.txt /d/\nENV f=secret.txt\nCOPY $f /",
            &[
                (2, "Attempting to Copy file \"secret.txt\" that is excluded by .dockerignore"),
                (3, "Attempting to Add file \"x.log\" that is excluded by .dockerignore"),
                (5, "Attempting to Copy file \"secret.txt\" that is excluded by .dockerignore"),
            ],
        )],
        &[
            "FROM a\nCOPY . /\nCOPY other.txt /",
            "FROM a AS b\nCOPY --from=x secret.txt /",
            "FROM a\nADD https://host.example/secret.txt /\nCOPY $PATH /",
            "FROM a\nCOPY <<secret.txt /\nsecret.txt",
        ],
    ),
    (
        "InvalidDefinitionDescription",
        &[(
            "# check=experimental=InvalidDefinitionDescription\n# bar is it\nARG foo=bar\n# BasE is it\nFROM a AS base\n# bad\nARG version=1\n# bad\nARG foo=baz bar=qux",
            &[
                (3, "Comment for ARG should follow the format: `# foo <description>`"),
                (5, "Comment for FROM should follow the format: `# base <description>`"),
                (7, "Comment for ARG should follow the format: `# version <description>`"),
                (9, "Comment for ARG should follow the format: `# <arg_key> <description>`"),
            ],
        )],
        &[
            "# check=experimental=all\n# foo is it\nARG foo=bar\n\n# base is it\nFROM a AS base\n# more\n# bar is it\nARG foo=1 bar=2\n# c\n#\nARG z\n# c\nCOPY a /\n# c\nFROM b",
            "# c\nFROM a AS b",
            "# check=experimental=all\n# c\n\nARG x\nFROM a",
        ],
    ),
    (
        "ExposeProtoCasing",
        &[(
            "FROM a\nENV p=90/UDP\nEXPOSE 80/TcP 8080/tcp $p",
            &[
                (3, "Defined protocol '80/TcP' in EXPOSE instruction should be lowercase"),
                (3, "Defined protocol '90/UDP' in EXPOSE instruction should be lowercase"),
            ],
        )],
        &["FROM a\nEXPOSE 80/tcp 81 82/sctp 83/WHAT $PATH"],
    ),
    (
        "ExposeInvalidFormat",
        &[(
            "FROM a\nEXPOSE 127.0.0.1:80:80 [::1]:8080:8080 5000:5000 8000",
            &[
                (2, "EXPOSE instruction should not define an IP address or host-port mapping, found '127.0.0.1:80:80'"),
                (2, "EXPOSE instruction should not define an IP address or host-port mapping, found '5000:5000'"),
                (2, "EXPOSE instruction should not define an IP address or host-port mapping, found '[::1]:8080:8080'"),
            ],
        )],
        &["FROM a\nEXPOSE 80-90 :80"],
    ),
];
